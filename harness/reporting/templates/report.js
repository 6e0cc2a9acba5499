document.querySelectorAll("th button").forEach(button => button.addEventListener("click", () => {
  const head = button.parentElement, body = head.closest("table").tBodies[0], column = head.cellIndex;
  const higher = /^(precision|recall|F1|images\/s)|↑/.test(head.textContent), before = head.getAttribute("aria-sort");
  const up = before ? before !== "ascending" : !higher; // the best first
  head.parentElement.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = row => row.cells[column].dataset.key;
  [...body.rows].sort((a, b) => {
    const under = a.classList.contains("aside") - b.classList.contains("aside"); // floors stay below
    if (under) return under;
    const x = key(a), y = key(b);
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return up ? order : -order;
  }).forEach(row => body.append(row));
}));
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
});
// Columns: as many as fit, the most important first, until someone chooses.
document.querySelectorAll(".wide").forEach(box => {
  const table = box.querySelector("table"), heads = [...table.tHead.rows[0].cells];
  if (heads.length < 3) return;
  const chooser = document.createElement("details"), summary = document.createElement("summary"), list = document.createElement("div");
  chooser.className = "columns";
  chooser.append(summary, list);
  box.before(chooser);
  const show = (column, on) => [...table.rows].forEach(row => row.cells[column].classList.toggle("off", !on));
  let chosen = false;
  const say = () => {
    const shown = boxes.filter(one => one.checked).length + 1;
    summary.textContent = shown === heads.length ? "columns" : `columns (${shown} of ${heads.length})`;
  };
  const boxes = heads.slice(1).map((head, place) => {
    const label = document.createElement("label"), one = document.createElement("input");
    one.type = "checkbox";
    one.addEventListener("change", () => { chosen = true; show(place + 1, one.checked); say(); });
    label.append(one, " ", head.textContent);
    list.append(label);
    return one;
  });
  const set = (place, on) => { boxes[place].checked = on; show(place + 1, on); };
  const fit = () => {
    boxes.forEach((_, place) => set(place, true));
    const order = heads.slice(1).map((head, place) => [+head.dataset.rank, place]).sort((a, b) => b[0] - a[0]);
    for (const [, place] of order.slice(0, -1)) {
      if (box.scrollWidth <= box.clientWidth) break;
      set(place, false);
    }
    say();
  };
  const button = (text, act) => {
    const one = document.createElement("button");
    one.type = "button";
    one.textContent = text;
    one.addEventListener("click", act);
    list.append(one);
  };
  button("all", () => { chosen = true; boxes.forEach((_, place) => set(place, true)); say(); });
  button("what fits", () => { chosen = false; fit(); });
  fit();
  addEventListener("resize", () => { if (!chosen) fit(); });
});
// A link to a curve shows the whole figure that it is in.
const look = () => {
  const aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  (aim?.closest("figure, tr") ?? aim)?.scrollIntoView({ block: aim.closest("figure, tr") ? "center" : "start" });
};
addEventListener("hashchange", look);
addEventListener("load", () => setTimeout(look)); // after the browser has gone to the line alone
