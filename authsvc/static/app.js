// Small conveniences on top of pages that work without them: theme switch, showing a password,
// copying and printing, resend count-down, one-time codes that send themselves. Runs in <head>,
// so that the chosen theme is there before anything is drawn.
"use strict";
(() => {
  const root = document.documentElement;
  const device = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : device.matches);
  const storage = (work) => { try { return work(localStorage); } catch { return null; } }; // storage may be forbidden

  const chosen = storage((store) => store.getItem("theme"));
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  root.dataset.script = "";

  function themeSwitch(button) {
    const label = () => { button.lastElementChild.textContent = dark() ? "Light" : "Dark"; };
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      storage((store) => store.setItem("theme", root.dataset.theme));
      label();
    });
    device.addEventListener("change", label);
    label();
  }

  function peek(button) {
    const input = document.getElementById(button.dataset.peek);
    const show = (shown) => {
      input.type = shown ? "text" : "password";
      button.setAttribute("aria-pressed", String(shown));
      button.firstChild.data = shown ? "Hide" : "Show";
    };
    button.addEventListener("click", () => { show(input.type === "password"); input.focus(); });
    input.form.addEventListener("submit", () => show(false)); // or the browser remembers it as plain text
  }

  function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("span");
    label.setAttribute("role", "status");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(source.innerText.trim());
        label.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        label.textContent = "Selected, now copy";
      }
    });
  }

  function countDown(button) {
    const text = button.textContent;
    const end = Date.now() + Number(button.dataset.wait) * 1000;
    const tick = () => {
      const left = Math.ceil((end - Date.now()) / 1000);
      button.disabled = left > 0;
      button.textContent = left > 0 ? `${text} in ${left} s` : text;
      if (left > 0) setTimeout(tick, 250);
    };
    tick();
  }

  function code(input) {
    const digits = Number(input.dataset.digits);
    let sent = "";
    input.addEventListener("input", () => {
      const plain = input.value.replace(/[\s-]/g, "");
      if (plain.length !== digits || !/^\d+$/.test(plain) || plain === sent) return;
      sent = plain;
      if (digits <= 8) input.value = plain;
      if (input.form.hasAttribute("data-self-submit")) input.form.requestSubmit();
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const each = (selector, work) => document.querySelectorAll(selector).forEach((element) => {
      work(element);
      element.hidden = false;
    });
    each("[data-theme-switch]", themeSwitch);
    each("[data-peek]", peek);
    each("[data-copy]", copy);
    each("[data-print]", (button) => button.addEventListener("click", () => print()));
    each("[data-wait]", countDown);
    each("[data-digits]", code);
  });
})();
