"use strict";
(() => {
  const table = document.getElementById("runs");
  const body = table.tBodies[0];
  const filter = document.getElementById("filter");
  const matches = document.getElementById("matches");
  const rows = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  let version = Number(table.dataset.version);

  const sift = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      found += !row.hidden;
    }
    matches.value = words.length ? `${found.toLocaleString("en")} of ${body.rows.length.toLocaleString("en")}` : "";
  };

  const made = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  };

  const update = (id, html) => {
    const fresh = made(html);
    const row = rows.get(id);
    if (row?.cells.length === fresh.cells.length) {
      [...fresh.cells].forEach((cell, place) => {
        if (row.cells[place].innerHTML !== cell.innerHTML) row.cells[place].innerHTML = cell.innerHTML;
      });
    } else {
      row?.replaceWith(fresh);
      rows.set(id, fresh);
    }
  };

  const sort = (ids) => {
    let place = body.firstElementChild;
    for (const id of ids) {
      const row = rows.get(id);
      if (row === place) place = place.nextElementSibling;
      else body.insertBefore(row, place);
    }
  };

  live.poll(() => `/api/home?after=${version}`, (answer) => {
    version = answer.version;
    for (const [id, html] of Object.entries(answer.rows)) update(id, html);
    if (answer.ids) {
      const known = new Set(answer.ids);
      for (const [id, row] of rows) if (!known.has(id)) { row.remove(); rows.delete(id); }
      sort(answer.ids);
    }
    document.getElementById("nothing").hidden = rows.size > 0;
    if (filter.value) sift();
    return answer.unread > 0;
  });

  filter.addEventListener("input", sift);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== filter) { event.preventDefault(); filter.focus(); }
  });
})();
