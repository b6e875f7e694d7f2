(() => {
const form = document.getElementById("passkey-form");
if (!form || !window.PublicKeyCredential) return;
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const asked = JSON.parse(form.dataset.passkey);
asked.challenge = bytes(asked.challenge);
if (asked.user) asked.user.id = bytes(asked.user.id);
for (const each of asked.excludeCredentials || []) each.id = bytes(each.id);
form.hidden = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const made = await navigator.credentials[asked.user ? "create" : "get"]({publicKey: asked});
    const said = {id: made.id, rawId: text(made.rawId), type: made.type, response: {}};
    for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"])
      if (made.response[part]) said.response[part] = text(made.response[part]);
    form.elements.passkey.value = JSON.stringify(said);
    form.submit();
  } catch {
    form.querySelector("[role=alert]").hidden = false;
  }
});
})();
