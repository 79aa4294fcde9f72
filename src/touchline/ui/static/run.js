"use strict";
(() => {
  const run = document.getElementById("content").dataset.run;
  const trouble = document.getElementById("trouble");
  const reading = document.getElementById("reading");
  let cursor = -1;
  let layout = "";
  let charts = {};
  let metrics = {};
  let marks = "";
  const summaries = {};

  // Buckets before ``first`` are as they were. New arrays, by which Plotly sees that there is something new.
  const joined = (before, { first, line }) => {
    const found = { ...line, name: before.name };
    for (const key of ["x", "t", "y", "low", "high"]) {
      if (line[key]) found[key] = (before[key] ?? []).slice(0, first).concat(line[key]);
    }
    return found;
  };

  const describe = (id) => {
    const names = metrics[id];
    if (!names.every((name) => summaries[name])) return;
    const text = names.map((name) => (names.length > 1 ? `${name}: ${summaries[name]}` : summaries[name])).join(" ");
    const plot = document.querySelector(`[data-chart="${CSS.escape(id)}"]`);
    const figure = plot.closest("figure");
    plot.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}: ${text}`);
    figure.querySelector("p.small").textContent = text;
  };

  const takeAll = (answer) => {
    ({ charts, metrics } = answer);
    marks = "";
    live.put("learning-charts", answer.learning);
    live.put("machine-charts", answer.machine);
    document.getElementById("no-machine").hidden = answer.machine.trim() !== "";
    return charts;
  };

  const takeNew = (answer) => {
    const changed = {};
    for (const [id, names] of Object.entries(metrics)) {
      names.forEach((name, place) => {
        const change = answer.lines[name];
        if (!change) return;
        summaries[name] = change.summary;
        charts[id].lines[place] = joined(charts[id].lines[place], change);
        changed[id] = charts[id];
      });
    }
    const told = JSON.stringify(answer.marks);
    if (told !== marks) {
      if (marks) for (const id of Object.keys(charts)) changed[id] = Object.assign(charts[id], { marks: answer.marks });
      marks = told;
    }
    Object.keys(changed).forEach(describe);
    return changed;
  };

  live.poll(() => `/api/runs/${encodeURIComponent(run)}?after=${cursor}&layout=${encodeURIComponent(layout)}`, (answer) => {
    trouble.hidden = !answer.trouble;
    if (answer.trouble) {
      trouble.textContent = answer.trouble;
      return false;
    }
    ({ cursor, layout } = answer);
    document.title = `${answer.state}: ${run}`;
    const fresh = Boolean(answer.charts);
    const changed = fresh ? takeAll(answer) : takeNew(answer);
    document.dispatchEvent(new CustomEvent("charts", { detail: { charts: changed, fresh } }));
    if (reading) reading.hidden = answer.whole;
    return !answer.whole;
  });

  document.addEventListener("click", async ({ target }) => {
    if (!target.dataset?.copy) return;
    await navigator.clipboard.writeText(target.dataset.copy);
    target.textContent = "Copied";
    setTimeout(() => { target.textContent = "Copy"; }, 1500);
  });
})();
