// Tables of class "sortable" are sorted by a click on a heading. Without this script they are as they were written.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const first = heading.dataset.first || "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      sort(table.tBodies[0], column, order === "ascending" ? 1 : -1);
    });
  });
}

function sort(body, column, sign) {
  const key = (row) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
  };
  const compared = (a, b) => {
    if (typeof a === "string") return sign * a.localeCompare(b);
    return Number.isNaN(a) - Number.isNaN(b) || sign * (a - b); // what has no number comes last either way
  };
  const rows = [...body.rows].map((row) => [key(row), row]);
  rows.sort((a, b) => compared(a[0], b[0]));
  body.append(...rows.map(([, row]) => row));
}
