"use strict";
(() => {
  const { charts, plots } = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const narrow = matchMedia("(max-width: 640px)");
  const touch = matchMedia("(pointer: coarse)");
  const slider = document.getElementById("smoothing");
  const axis = document.getElementById("axis");
  const drawn = new Set();
  const stale = new Set();
  const sketches = new Map();
  let colours;

  const readColours = () => {
    const style = getComputedStyle(root);
    const get = (name) => style.getPropertyValue(`--${name}`).trim();
    colours = Object.fromEntries(["text", "quiet", "line", "card", "bad", "warn", "accent"].map((name) => [name, get(name)]));
    colours.lines = [1, 2, 3, 4, 5, 6].map((number) => get(`line-${number}`));
  };
  const faint = (colour, alpha) => `${colour}${Math.round(alpha * 255).toString(16).padStart(2, "0")}`;

  // The exponential moving average with its bias at the beginning taken out, as TensorBoard draws it.
  const smoothed = (values, weight) => {
    if (!weight) return values;
    let mean = 0, count = 0;
    return values.map((value) => {
      if (value === null) return null;
      mean = mean * weight + value * (1 - weight);
      count += 1;
      return mean / (1 - weight ** count);
    });
  };

  const unitOf = (chart) => {
    const longest = Math.max(0, ...chart.lines.map((line) => line.t.at(-1) ?? 0));
    return longest > 7200 ? ["hours", 3600] : longest > 120 ? ["minutes", 60] : ["seconds", 1];
  };

  // Plotly's axes fail at both ends of what a float can hold: there, values are drawn in units of a power of ten.
  const powerOf = (chart) => {
    let largest = 0;
    for (const { y, low, high } of [...chart.lines, chart.band ?? {}]) {
      for (const values of [y, low, high]) for (const value of values ?? []) largest = Math.max(largest, Math.abs(value));
    }
    return largest > 1e290 || (largest > 0 && largest < 1e-290) ? Math.floor(Math.log10(largest)) : 0;
  };
  // In two steps, for the inverse of the smallest powers is no float.
  const inUnitsOf = (power) => {
    const half = Math.trunc(power / 2);
    return (values) => (power ? values.map((value) => value === null ? null : value / 10 ** half / 10 ** (power - half)) : values);
  };

  const axisOf = (chart) => chart.axis ?? axis?.value ?? "step";

  const traces = (given) => {
    const scaled = inUnitsOf(powerOf(given));
    const shrunk = (line) => ({ ...line, y: scaled(line.y), ...(line.low && { low: scaled(line.low), high: scaled(line.high) }) });
    const chart = { ...given, lines: given.lines.map(shrunk), band: given.band && shrunk(given.band) };
    const overTime = axisOf(chart) === "time";
    const [, seconds] = unitOf(chart);
    const weight = chart.axis ? 0 : Number(slider?.value ?? 0);
    const found = [];
    const place = (line) => (overTime ? line.t.map((time) => time / seconds) : line.x);
    const stretch = ([first, last]) => (first === last ? [first, null] : [first, last, null]);
    const area = (x, low, high, colour, alpha, line = { width: 0 }) => found.push(
      { x, y: low, mode: "lines", line, hoverinfo: "skip", showlegend: false },
      { x, y: high, mode: "lines", line, fill: "tonexty", fillcolor: faint(colour, alpha), hoverinfo: "skip", showlegend: false },
    );
    if (chart.band && !overTime) {
      area(chart.band.x, chart.band.low, chart.band.high, colours.quiet, 0.18);
      found.push({ x: chart.band.x, y: smoothed(chart.band.y, weight), mode: "lines", name: `mean of ${chart.band.runs} runs`, line: { color: colours.quiet, width: 1.5, dash: "dash" } });
    }
    const behind = chart.lines.filter((line) => line.behind);
    const before = chart.lines.filter((line) => !line.behind);
    for (const line of behind) {
      found.push({ x: place(line), y: smoothed(line.y, weight), mode: "lines", name: line.name, line: { color: faint(colours.quiet, 0.55), width: 1 } });
    }
    before.forEach((line, number) => {
      const colour = colours.lines[number % colours.lines.length];
      const x = place(line);
      // A peak of one value is narrower than a pixel: its outline is what shows it.
      if (line.low) area(x, line.low, line.high, colour, 0.16, { width: 1, color: faint(colour, 0.4) });
      if (weight) found.push({ x, y: line.y, mode: "lines", line: { color: faint(colour, 0.3), width: 1 }, hoverinfo: "skip", showlegend: false });
      found.push({ x, y: smoothed(line.y, weight), mode: line.y.length > 60 ? "lines" : "lines+markers", name: line.name, line: { color: colour, width: 2 }, marker: { size: 5 } });
      if (line.gaps) {
        const low = Math.min(...line.y.filter((value) => value !== null));
        const x = overTime ? line.gaps.t.flatMap(stretch).map((time) => time === null ? null : time / seconds) : line.gaps.x.flatMap(stretch);
        found.push({
          x, y: x.map(() => (Number.isFinite(low) ? low : 0)), mode: "lines+markers", name: "not finite", hovertemplate: "not finite<extra></extra>",
          line: { color: colours.bad, width: 3 }, marker: { symbol: "x", size: 7, color: colours.bad }, showlegend: false,
        });
      }
    });
    const marks = chart.marks.filter((mark) => overTime || mark.x !== null);
    if (marks.length) {
      const top = Math.max(...chart.lines.flatMap((line) => line.high ?? line.y).filter((value) => value !== null));
      found.push({
        x: marks.map((mark) => (overTime ? mark.t / seconds : mark.x)), y: marks.map(() => (Number.isFinite(top) ? top : 0)),
        mode: "markers", name: "alerts", text: marks.map((mark) => mark.text), hovertemplate: "%{text}<extra></extra>", showlegend: false,
        marker: { symbol: "triangle-down", size: 10, color: marks.map((mark) => (mark.level === "error" ? colours.bad : mark.level === "warn" ? colours.warn : colours.accent)) },
      });
    }
    return found;
  };

  const look = () => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: colours.lines,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colours.quiet },
    hoverlabel: { bgcolor: colours.card, bordercolor: colours.line, font: { color: colours.text } },
  });
  const ruler = { gridcolor: "line", zeroline: false };

  const layout = (chart) => {
    const time = axisOf(chart) === "time";
    const several = chart.lines.length > 1;
    const power = powerOf(chart);
    const line = { ...ruler, gridcolor: colours.line, automargin: true };
    return {
      ...look(), uirevision: axisOf(chart), margin: { l: 48, r: 10, t: 8, b: 40 }, hovermode: "x", dragmode: touch.matches ? false : "zoom",
      showlegend: several && !chart.lines.some((one) => one.behind), legend: { orientation: "h", y: -0.25 },
      xaxis: { ...line, title: { text: time ? `${unitOf(chart)[0]} since the start` : "step", standoff: 6 } },
      yaxis: { ...line, ticksuffix: power ? `e${power}`.replace("-", "−") : "" },
    };
  };
  const options = { displayModeBar: false, responsive: true, doubleClick: "reset" };

  const picture = (element) => {
    const chart = charts[element.dataset.chart];
    if (chart) return Plotly.react(element, traces(chart), layout(chart), options);
    const plot = plots[element.dataset.plot];
    const line = { gridcolor: colours.line, zerolinecolor: colours.line, automargin: true };
    const axes = Object.keys(plot.layout).filter((name) => /^[xy]axis/.test(name));
    const lines = Object.fromEntries(axes.map((name) => [name, { ...plot.layout[name], ...line }]));
    return Plotly.react(element, structuredClone(plot.data), { ...plot.layout, ...look(), ...lines, title: undefined, margin: { l: 60, r: 20, t: 20, b: 60 } }, options);
  };

  // A picture that Plotly cannot draw must not cost the page the others: its sketch comes back, with the reason.
  const giveUp = (element, error) => {
    Plotly.purge(element);
    element.classList.remove("js-plotly-plot");
    element.replaceChildren(...sketches.get(element));
    const told = document.createElement("p");
    told.className = "note small undrawn";
    told.textContent = `${element.dataset.chart ? "This is a sketch without axes, for they" : "This"} could not be drawn (${error.message ?? error}).`;
    element.after(told);
  };
  const isDrawn = (element) => element.classList.contains("js-plotly-plot");
  const draw = (element) => {
    if (!sketches.has(element)) sketches.set(element, [...element.childNodes]);
    const told = element.nextElementSibling;
    if (told?.classList.contains("undrawn")) told.remove();
    if (!isDrawn(element)) element.replaceChildren(); // the sketch
    drawn.add(element);
    stale.delete(element);
    try {
      picture(element).catch((error) => giveUp(element, error));
    } catch (error) {
      giveUp(element, error);
    }
  };

  // What can be seen is drawn first, one picture a turn, so that the page answers meanwhile.
  const queue = [];
  let working = false;
  const work = () => {
    const element = queue.shift();
    if (element) {
      if (element.isConnected && (!drawn.has(element) || stale.has(element))) draw(element);
      setTimeout(work);
    } else {
      working = false;
      root.dataset.drawn = String(drawn.size);
    }
  };
  const start = () => {
    if (!working) { working = true; delete root.dataset.drawn; work(); }
  };
  const isUnfolded = (element) => !element.closest("details:not([open])");
  const enqueue = (part) => {
    for (const element of part.querySelectorAll(".plot")) {
      if (isUnfolded(element) && !drawn.has(element)) queue.push(element);
    }
    start();
  };
  // Of what has new numbers, only what is in sight is drawn again; the rest when it comes into sight.
  const refresh = () => {
    for (const element of stale) {
      const { top, bottom } = element.getBoundingClientRect();
      if (isUnfolded(element) && bottom > -200 && top < innerHeight + 200 && !queue.includes(element)) queue.push(element);
    }
    start();
  };
  const redraw = (only = () => true) => [...drawn].filter(only).forEach(draw);

  // Six digits; what would need many zeros beside them with an exponent.
  const told = (value) => {
    if (value === null || value === undefined) return "not finite";
    const size = Math.abs(value);
    if (size >= 1e15 || (size > 0 && size < 1e-5)) return Number(value.toPrecision(6)).toExponential().replace("e+", "e");
    return value.toLocaleString("en", { maximumSignificantDigits: 6 });
  };

  const fillTable = (details) => {
    const { lines } = charts[details.dataset.table];
    const line = lines.find((one) => !one.behind) ?? lines[0];
    const count = line.x.length;
    const every = Math.max(1, Math.ceil(count / 25));
    const table = document.createElement("table");
    const row = (cells, tag) => {
      const parent = table.insertRow();
      for (const cell of cells) {
        const element = document.createElement(tag);
        element.textContent = cell;
        element.className = "right";
        if (tag === "th") element.scope = "col";
        parent.append(element);
      }
    };
    row(["step", ...(line.low ? ["lowest", "mean", "highest"] : ["value"])], "th");
    for (let place = 0; place < count; place += every) {
      row([line.x[place].toLocaleString("en", { maximumFractionDigits: 1 }), ...(line.low ? [line.low, line.y, line.high] : [line.y]).map((values) => told(values[place]))], "td");
    }
    const filled = details.querySelector(".scroll");
    if (filled) return filled.replaceChildren(table);
    const scroll = document.createElement("div");
    Object.assign(scroll, { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", details.querySelector("summary").textContent);
    scroll.append(table);
    details.append(scroll);
  };

  // A page that is kept up to date hands over the charts that have new numbers, and with fresh ones their elements.
  document.addEventListener("charts", ({ detail }) => {
    Object.assign(charts, detail.charts);
    for (const element of drawn) {
      if (!element.isConnected) { Plotly.purge(element); drawn.delete(element); stale.delete(element); sketches.delete(element); }
      else if (element.dataset.chart in detail.charts) {
        stale.add(element);
        const table = element.closest("figure").querySelector("details[data-table]");
        if (table.querySelector("table")) fillTable(table);
      }
    }
    if (detail.fresh) enqueue(document);
    refresh();
  });
  addEventListener("scroll", () => stale.size && refresh(), { passive: true });

  readColours();
  enqueue(document);
  document.addEventListener("toggle", ({ target }) => {
    if (!target.open) return;
    if (target.dataset.table && !target.querySelector("table")) fillTable(target);
    enqueue(target);
    refresh();
  }, true);
  document.addEventListener("theme", () => { readColours(); redraw(); });
  slider?.addEventListener("input", () => {
    document.getElementById("smoothing-value").value = Number(slider.value).toFixed(2);
    redraw((element) => charts[element.dataset.chart] && !charts[element.dataset.chart].axis);
  });
  axis?.addEventListener("change", () => redraw((element) => charts[element.dataset.chart] && !charts[element.dataset.chart].axis));

  // Paper is white, and as wide as it is.
  let theme = null;
  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    readColours();
    for (const element of drawn) { draw(element); if (isDrawn(element)) Plotly.relayout(element, { width: element.dataset.plot ? 660 : 320 }); }
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    readColours();
    for (const element of drawn) { if (isDrawn(element)) Plotly.relayout(element, { width: null }); draw(element); }
  });
})();
