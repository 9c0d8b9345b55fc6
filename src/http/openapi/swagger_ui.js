"use strict";

SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: document.getElementById("swagger-ui").dataset.document,
  // Without this, it would ask a validator on the internet.
  validatorUrl: null,
  deepLinking: true,
  filter: true,
  persistAuthorization: false,
  // Without this, the browser would ask for a name and a password itself when an answer says 401.
  requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
});

const dark = matchMedia("(prefers-color-scheme: dark)");
const followSystem = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followSystem);
followSystem();
