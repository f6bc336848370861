// Passkeys and security keys. Drives every <form data-webauthn="get|create" data-options="URL">: asks the server for
// options with the form's CSRF token, runs the ceremony, puts the answer as JSON into the hidden
// field `credential` and submits the form, so that the server always answers with a page. With data-autofill, passkeys
// are also offered in the field whose autocomplete ends in "webauthn".
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const base64url = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  // What browsers from before 2025 lack: options from JSON, and the credential back to it.
  function parse(ceremony, options) {
    const native = ceremony === "create" ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
    if (PublicKeyCredential[native]) return PublicKeyCredential[native](options);
    const binary = (list) => (list || []).map((item) => ({ ...item, id: bytes(item.id) }));
    const parsed = { ...options, challenge: bytes(options.challenge) };
    if (options.user) parsed.user = { ...options.user, id: bytes(options.user.id) };
    if (options.excludeCredentials) parsed.excludeCredentials = binary(options.excludeCredentials);
    if (options.allowCredentials) parsed.allowCredentials = binary(options.allowCredentials);
    return parsed;
  }

  function toJSON(credential) {
    if (credential.toJSON) return credential.toJSON();
    const { response } = credential;
    const out = {};
    for (const key of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (response[key]) out[key] = base64url(response[key]);
    }
    if (response.getTransports) out.transports = response.getTransports();
    return {
      id: credential.id, rawId: base64url(credential.rawId), type: credential.type, response: out,
      authenticatorAttachment: credential.authenticatorAttachment,
      clientExtensionResults: credential.getClientExtensionResults(),
    };
  }

  class Refused extends Error {}

  async function fetchOptions(form) {
    const response = await fetch(form.dataset.options, {
      method: "POST", body: new URLSearchParams({ csrf_token: form.elements.csrf_token.value }), headers: { Accept: "application/json" },
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refused(answer.error_description || "The service did not answer as expected. Please try again.");
    return parse(form.dataset.webauthn, answer.publicKey || answer);
  }

  function explain(error, ceremony) {
    if (error instanceof Refused) return error.message;
    switch (error.name) {
      case "NotAllowedError": // cancelled, timed out, or nothing fits: browsers do not say which
        return "Nothing was received from a key or passkey. Try again, or choose another way.";
      case "InvalidStateError":
        return ceremony === "create" ? "This key or passkey is already on your account." : "This key or passkey cannot be used here.";
      case "NotSupportedError":
      case "ConstraintError":
        return "This key or device cannot do what is needed here. Try another one.";
      case "SecurityError":
        return "Keys and passkeys do not work at this address. Open the site by its usual address.";
      default:
        return "That did not work. Check your connection and try again, or choose another way.";
    }
  }

  function say(form, text) {
    const place = form.querySelector("[data-message]");
    place.textContent = "";
    if (!text) return;
    const line = document.createElement("p");
    line.className = "alert warn";
    line.textContent = text;
    place.append(line);
  }

  function send(form, credential) {
    form.elements.credential.value = JSON.stringify(toJSON(credential));
    HTMLFormElement.prototype.submit.call(form); // past our own submit listener
  }

  let waiting = null; // the autofill request; a click on any button ends it, as only one may run

  async function autofill(form) {
    if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    waiting = new AbortController();
    const { signal } = waiting;
    const publicKey = await fetchOptions(form);
    const credential = await navigator.credentials.get({ publicKey, mediation: "conditional", signal });
    if (credential) send(form, credential);
  }

  async function run(form, button) {
    button.disabled = true;
    say(form, "");
    waiting?.abort();
    const ceremony = form.dataset.webauthn;
    try {
      const publicKey = await fetchOptions(form);
      send(form, await navigator.credentials[ceremony]({ publicKey }));
    } catch (error) {
      say(form, explain(error, ceremony));
      button.disabled = false;
    }
  }

  // Tells the browser which passkeys are good here, so that it no longer offers others (WebAuthn Level 3, 5.1.10).
  function signal(method, name) {
    const place = document.querySelector(`[data-${name}]`);
    if (place) window.PublicKeyCredential?.[method]?.(JSON.parse(place.getAttribute(`data-${name}`))).catch(() => {});
  }
  signal("signalUnknownCredential", "unknown-credential");
  signal("signalAllAcceptedCredentials", "accepted-credentials");

  for (const form of document.querySelectorAll("form[data-webauthn]")) {
    if (!window.PublicKeyCredential) {
      say(form, "This browser cannot use keys or passkeys here. Please choose another way.");
      continue;
    }
    const button = form.querySelector("button[type=submit]");
    form.addEventListener("submit", (event) => { event.preventDefault(); run(form, button); });
    button.disabled = false;
    // Without autofill the button is still there, so its failure is not worth a word.
    if ("autofill" in form.dataset) autofill(form).catch(() => {});
  }
})();
