"use strict";
// Without this script the page is whole, and refreshed by the browser.
document.addEventListener("DOMContentLoaded", () => {
  const page = () => document.getElementById("fresh");
  const copyable = () => {
    for (const command of document.querySelectorAll("code.command:not(.ready)")) {
      command.classList.add("ready");
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "copy";
      button.setAttribute("aria-label", "copy " + command.textContent);
      button.onclick = async () => {
        await navigator.clipboard.writeText(command.textContent);
        button.textContent = "copied";
      };
      command.after(button);
    }
  };
  copyable();
  if (!document.body.dataset.live) return;
  const busy = () => document.activeElement && document.activeElement.matches("input, .copy");
  const said = (text) => { document.getElementById("link").textContent = text; };
  const events = new EventSource(document.body.dataset.live);
  events.onerror = () => said(", connection lost: trying again");
  events.onmessage = async () => {
    if (busy()) return; // what somebody is typing or copying stays
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) return said(", no answer: " + answer.status);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = next.title;
    page().replaceWith(next.getElementById("fresh"));
    copyable();
  };
});
