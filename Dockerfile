# One image for all processes; the command says which (see docker-compose.yml).
FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml setup.py README.md LICENSE constraints.txt ./
COPY core core
COPY workers workers
COPY service service
COPY migrations migrations
RUN pip install --no-cache-dir . -c constraints.txt && useradd --system --uid 1000 cascade && \
    mkdir /data /var/cache/cascade && chown cascade /data /var/cache/cascade
USER cascade
ENV CASCADE_DATA_DIR=/data CASCADE_ARCHIVE_DIRS=/archive NUMBA_CACHE_DIR=/var/cache/cascade
# the numerical kernels are compiled once, here, so that no recipe has to wait for them
RUN muserex --compile
VOLUME /data
EXPOSE 8000
CMD ["python", "-P", "-m", "service.serve", "--host", "0.0.0.0", "--port", "8000"]
