// The charts of the overview.
const HISTOGRAM = { height: 190, left: 44, right: 12, top: 8, bottom: 24 };
const ROWS_AT_FIRST = 10;

// Round numbers from 0 to at least `most`, about `wanted` of them.
function ticks(most, wanted) {
  if (!(most > 0)) return [0];
  const rough = most / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, index) => index * step);
}

// A key of colours; each entry is a sample and its meaning.
function legend(element, entries) {
  element.replaceChildren(...entries.map(([name, text]) => make("span", {}, make("span", { class: `swatch ${name}` }), text)));
}

// --- Confidence --------------------------------------------------------------------------------

// From the bottom of a column to its top.
const SERIES = { disagreeing: "label disagrees", agreeing: "label agrees", unlabelled: "without label" };

function showConfidence(bins) {
  const series = Object.keys(SERIES).filter((name) => sum(bins.map((bin) => bin[name])) > 0);
  by("confidence").hidden = series.length === 0;
  if (series.length === 0) return;
  const isSplit = series.some((name) => name !== "unlabelled");
  const total = (name) => count(sum(bins.map((bin) => bin[name])));
  if (isSplit) legend(by("confidence-legend"), series.map((name) => [name, `${SERIES[name]} (${total(name)})`]));
  drawAtWidth(by("confidence-chart"), HISTOGRAM.height, (width) => histogram(bins, series, width));
  const range = (index) => `${percent(index / bins.length, 0)} to ${percent((index + 1) / bins.length, 0)}`;
  const head = headRow(["", "Confidence"], ...series.map((name) => ["number", isSplit ? SERIES[name] : "pictures"]));
  const rows = bins.map((bin, index) => tableRow("td", [range(index), ...series.map((name) => count(bin[name]))]));
  by("confidence-table").replaceChildren(head, make("tbody", {}, rows));
}

function histogram(bins, series, width) {
  const { height, left, right, top, bottom } = HISTOGRAM;
  const most = Math.max(...bins.map((bin) => sum(series.map((name) => bin[name]))), 1);
  const y = (value) => height - bottom - ((height - bottom - top) * value) / most;
  const x = (share) => left + (width - left - right) * share;
  const lines = ticks(most, 4).filter(Number.isInteger).map((value) => [
    draw("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
    words(left - 6, y(value) + 4, count(value), { class: "end" }),
  ]);
  const anchor = (share) => (share === 1 ? "end" : share === 0 ? "start" : "middle");
  const labels = [0, 0.25, 0.5, 0.75, 1].map((share) => words(x(share), height - 6, percent(share, 0), { class: anchor(share) }));
  const columns = bins.flatMap((bin, index) => {
    let below = 0;
    return series.filter((name) => bin[name] > 0).map((name) => {
      const [bottomY, topY] = [y(below), y(below + bin[name])];
      below += bin[name];
      const box = { x: x(index / bins.length) + 1, y: topY, width: Math.max(x(1 / bins.length) - left - 2, 1), height: bottomY - topY };
      return draw("rect", { class: series.length > 1 ? name : "all", ...box });
    });
  });
  return chart(width, height, lines.flat(), columns, labels);
}

// --- Classes -----------------------------------------------------------------------------------

function showClasses({ top, others }) {
  by("classes").hidden = top.length === 0;
  const isLabelled = top.some((entry) => known(entry.labelled));
  if (isLabelled) legend(by("class-legend"), [["predicted", "predicted"], ["labelled", "labelled"]]);
  const most = Math.max(...top.flatMap((entry) => [entry.predicted, entry.labelled ?? 0]), 1);
  const numbers = (entry) => [
    make("td", { class: "number" }, count(entry.predicted)),
    isLabelled && make("td", { class: "number" }, count(entry.labelled ?? 0)),
  ];
  const names = new Set(data.findings.flatMap((finding) => [finding.label, finding.predicted]));
  const title = (name) => (names.has(name) ? viewLink({ className: name }, className(name)) : className(name));
  const row = (name, bars, entry) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, bars), numbers(entry));
  const rows = top.map((entry) => {
    const bars = [bar(entry.predicted / most, "predicted"), isLabelled && bar((entry.labelled ?? 0) / most, "labelled")];
    return row(title(entry.name), bars, entry);
  });
  foldRows(rows, by("more-classes"));
  if (others) rows.push(row(plural(others.classes, "other class", "other classes"), [], others));
  const head = headRow(["", "Class"], ["", unseen("bars")], ["number", "predicted"], isLabelled && ["number", "labelled"]);
  by("class-table").replaceChildren(head, make("tbody", {}, rows));
}

// Only the first rows of a long table are shown, until the button is used.
function foldRows(rows, button) {
  const others = rows.slice(ROWS_AT_FIRST);
  for (const row of others) row.hidden = true;
  button.hidden = others.length === 0;
  button.textContent = `Show ${others.length} more`;
  onClick(button, () => {
    for (const row of others) row.hidden = false;
    button.hidden = true;
    others[0].tabIndex = -1;
    others[0].focus();
  });
}

// --- Confusions --------------------------------------------------------------------------------

function showConfusion(confusion) {
  const isThere = confusion !== null && (confusion.type === "matrix" ? confusion.classes.length > 0 : confusion.pairs.length > 0);
  by("confusion").hidden = !isThere;
  if (!isThere) return;
  if (confusion.type === "matrix") showMatrix(confusion);
  else showPairs(confusion.pairs);
}

function showMatrix({ classes, rows, elsewhere }) {
  by("confusion").classList.add("is-matrix");
  by("confusion-note").textContent = "Rows: label. Columns: predicted class. Blue: right. Orange: wrong; the stronger, the larger the share of the row.";
  const hasElsewhere = elsewhere.some((value) => value > 0);
  const names = [...classes.map(className), ...(hasElsewhere ? ["other"] : [])];
  const head = names.map((name) => make("th", { scope: "col" }, make("span", {}, name)));
  const shares = rows.map((row, index) => row.map((value) => value / Math.max(sum(row) + elsewhere[index], 1)));
  const mostWrong = Math.max(...shares.flatMap((row, index) => row.filter((_, column) => column !== index)), 0.01);
  const body = rows.map((row, index) => {
    const values = hasElsewhere ? [...row, elsewhere[index]] : row;
    const total = Math.max(sum(values), 1);
    const shade = (value, column) => (column === index ? value / total : Math.min(value / total / mostWrong, 1));
    const cells = values.map((value, column) => {
      const cell = make("td", { class: column === index ? "right" : "wrong" }, value > 0 ? count(value) : make("span", { class: "faint" }, "0"));
      cell.style.setProperty("--share", shade(value, column));
      return cell;
    });
    return make("tr", {}, make("th", { scope: "row" }, className(classes[index])), cells);
  });
  by("confusion-table").replaceChildren(make("thead", {}, make("tr", {}, make("td"), head)), make("tbody", {}, body));
}

function showPairs(pairs) {
  by("confusion-note").textContent = "The most frequent ones.";
  by("confusion-table").classList.add("pairs");
  by("kinds").after(by("confusion"));
  const rows = pairs.map((pair) => make("tr", {},
    make("td", {}, classElement(pair.label)),
    make("td", {}, classElement(pair.predicted)),
    make("td", {}, bar(pair.count / pairs[0].count, "disagreeing")),
    make("td", { class: "number" }, count(pair.count))));
  foldRows(rows, by("more-pairs"));
  const head = headRow(["", "Label"], ["", "Predicted"], ["", unseen("bars")], ["number", "Pictures"]);
  by("confusion-table").replaceChildren(head, make("tbody", {}, rows));
}
