"use strict";
// Before anything is drawn, so that the page does not flash in the wrong colours.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("touchline-theme"); } catch { /* a page from a file may have no storage */ }
  const apply = () => {
    const before = root.dataset.theme;
    root.dataset.theme = chosen ?? (system.matches ? "dark" : "light");
    const label = document.querySelector("#theme .label");
    if (label) label.textContent = root.dataset.theme === "dark" ? "Light" : "Dark";
    if (before && before !== root.dataset.theme) document.dispatchEvent(new Event("theme"));
  };
  apply();
  system.addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      chosen = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("touchline-theme", chosen); } catch { /* as above */ }
      apply();
    });
  });
})();
