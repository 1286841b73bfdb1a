// The REST documentation: everything from this host, nothing validated elsewhere.
SwaggerUIBundle({ url: "/api/openapi.json", dom_id: "#swagger", deepLinking: true, validatorUrl: null, docExpansion: "list" });
