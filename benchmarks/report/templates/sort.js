// A click on a column's head sorts by it: numbers largest first, words from A; a second click reverses the order. Missing values come last.
for (const table of document.querySelectorAll("table.rows")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const sort = (head) => {
    const column = heads.indexOf(head), cell = (row) => row.cells[column];
    const words = head.classList.contains("what");
    const first = words ? "ascending" : "descending", second = words ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    const sign = order === "ascending" ? 1 : -1;
    const number = (row) => ("key" in cell(row).dataset ? Number(cell(row).dataset.key) : sign * Infinity);
    const compare = words
      ? (a, b) => cell(a).textContent.localeCompare(cell(b).textContent, "en", { numeric: true })
      : (a, b) => (number(a) === number(b) ? 0 : number(a) - number(b));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    body.append(...[...body.rows].sort((a, b) => sign * compare(a, b)));
  };
  for (const head of heads) {
    head.classList.add("sortable");
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(head));
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(head); });
  }
}
