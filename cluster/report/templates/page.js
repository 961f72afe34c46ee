"use strict";
// Tables: sorting by a button in each head, a filter by name, one metric at a time.
const undefinedLast = (a, b, sign) => {
  if (a === "" || b === "") return (a === "") - (b === "");
  const x = Number(a), y = Number(b);
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  return sign * order;
};
const sort = (button) => {
  const head = button.closest("th"), row = head.parentElement;
  const column = [...row.children].indexOf(head);
  const rising = head.getAttribute("aria-sort") !== "ascending";
  for (const other of row.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const body = head.closest("table").tBodies[0];
  const value = (line) => line.children[column].dataset.value;
  const lines = [...body.rows];
  lines.sort((a, b) => undefinedLast(value(a), value(b), rising ? 1 : -1));
  body.append(...lines);
};
const filter = (input) => {
  const wanted = input.value.trim().toLowerCase();
  for (const line of input.closest(".block").querySelector("tbody").rows)
    line.hidden = !line.children[0].textContent.toLowerCase().includes(wanted);
};
const shown = (value) => value === null ? "-" : String(Number(value.toPrecision(4)));
const choose = (block, metric) => {
  const data = JSON.parse(block.querySelector("script").textContent);
  block.querySelector(".paper").textContent = `${metric} ${data.modes[metric]}`;
  for (const line of block.querySelector("tbody").rows) {
    const values = data.values[metric].map((row) => row[line.dataset.place]);
    const defined = values.filter((value, at) => value !== null && data.rivals[at]);
    const best = data.best[metric] === "min" ? Math.min(...defined) : Math.max(...defined);
    values.forEach((value, at) => {
      const cell = line.children[at + 1];
      cell.dataset.value = value === null ? "" : value;
      cell.textContent = shown(value);
      cell.classList.toggle("best", data.rivals[at] && value !== null && value === best);
    });
  }
  const sorted = block.querySelector("th[aria-sort]");
  if (sorted) {
    // The values are new: sort them again, the same way round.
    const way = sorted.getAttribute("aria-sort");
    sorted.setAttribute("aria-sort", way === "ascending" ? "descending" : "ascending");
    sort(sorted.querySelector("button"));
  }
};
for (const button of document.querySelectorAll("[data-sort]"))
  button.addEventListener("click", () => sort(button));
for (const input of document.querySelectorAll("[data-filter]"))
  input.addEventListener("input", () => filter(input));
for (const block of document.querySelectorAll("[data-scores]")) {
  const menu = block.querySelector("[data-metric]");
  menu.addEventListener("change", () => choose(block, menu.value));
  choose(block, menu.value);
}
// On paper everything is open.
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
