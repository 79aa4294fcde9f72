"use strict";
// Asks for what is new, one question after the other and only while somebody looks, and puts it into the page.
const live = (() => {
  const PAUSE = 1500;
  const sign = document.getElementById("live");
  const told = new Map();

  const tell = (kind, text) => {
    if (sign.textContent !== text) sign.textContent = text;
    sign.className = `live small ${kind}`;
  };

  const focusable = (part) => [...part.querySelectorAll("a, button, summary, [tabindex]")];

  // A part gets new text only where it differs; what was unfolded stays so, and the keyboard stays where it was.
  const put = (id, html) => {
    const part = document.getElementById(id);
    if (!part || told.get(id) === html) return;
    told.set(id, html);
    const open = new Set([...part.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent));
    const place = focusable(part).indexOf(document.activeElement);
    part.innerHTML = html;
    for (const summary of part.querySelectorAll("details > summary")) {
      if (open.has(summary.textContent)) summary.parentElement.open = true;
    }
    if (place >= 0) focusable(part)[place]?.focus({ preventScroll: true });
  };

  const poll = (address, take) => {
    let timer = null;
    let asking = false;
    const later = (pause) => { clearTimeout(timer); timer = setTimeout(ask, pause); };
    const ask = async () => {
      if (asking || document.hidden) return;
      asking = true;
      let pause = PAUSE;
      try {
        const response = await fetch(address());
        if (!response.ok) throw new Error((await response.text()).trim());
        const answer = await response.json();
        for (const [id, html] of Object.entries(answer.parts ?? {})) put(id, html);
        if (take(answer)) pause = 50;
        tell("on", "live");
      } catch (error) {
        pause = 3 * PAUSE;
        tell("off", error instanceof TypeError ? "not connected: touchline ui has ended" : error.message);
      }
      asking = false;
      later(pause);
    };
    document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
    ask();
  };

  return { poll, put };
})();
