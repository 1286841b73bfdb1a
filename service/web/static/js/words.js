// Times as people read them, as `service/text.py` writes them.
export function age(span) {
  const seconds = Math.abs(span);
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  if (seconds < 90 * 60) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 48 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  if (seconds < 700 * 86400) return `${(seconds / 86400).toFixed(1)} d`;
  return `${(seconds / 86400 / 365.25).toFixed(1)} yr`;
}

export function duration(seconds) {
  if (seconds == null) return "";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60), two = (number) => String(number).padStart(2, "0");
  if (minutes < 60) return `${minutes} min ${two(Math.round(seconds) % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

export const clock = (moment) => new Date(moment).toISOString().slice(0, 19).replace("T", " ");
