"use strict";

SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: document.getElementById("swagger-ui").dataset.document,
  // Without this, it would ask a validator on the internet.
  validatorUrl: null,
  deepLinking: true,
  filter: true,
  persistAuthorization: false,
});
