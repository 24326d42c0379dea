// Clusters of heatmaps by class, and at the top of the page those that are confirmed shortcuts.
const EIGENVALUES = { height: 120, left: 36, right: 10, top: 10, bottom: 22 };
const CLASSES_OPEN = 3;

// Confirmed ones first, then suspicious ones.
const alarm = (cluster) => (isConfirmed(cluster) ? 2 : cluster.suspicion ? 1 : 0);

function showClusters() {
  const classes = data.clustered.map((entry) => ({ ...entry, clusters: [...entry.clusters].sort((one, other) => alarm(other) - alarm(one)) }));
  const worst = (entry) => Math.max(0, ...entry.clusters.map(alarm));
  classes.sort((one, other) => worst(other) - worst(one));
  by("clusters").hidden = classes.length === 0;
  by("cluster-list").append(...classes.map((entry, index) => clusteredClass(entry, worst(entry) > 0 || index < CLASSES_OPEN && classes.length <= CLASSES_OPEN)));
  drawScale(by("scale"));
  showAlarms();
}

function showAlarms() {
  const found = confirmedClusters();
  by("alarms").hidden = found.length === 0;
  by("alarms-title").replaceChildren(icon("error"), `Right for the wrong reason: ${plural(found.length, "confirmed shortcut")}`);
  by("alarm-list").append(...found.map(({ name, cluster }) => clusterElement("h3", name, cluster, `${className(name)}: ${sizeText(cluster)}`)));
}

function clusteredClass(entry, isOpen) {
  const suspicious = entry.clusters.filter((cluster) => cluster.suspicion).length;
  const facts = [plural(entry.items, "heatmap"), plural(entry.clusters.length, "cluster"), suspicious > 0 ? `${count(suspicious)} suspicious` : "nothing suspicious"];
  const summary = make("summary", {}, make("h3", {}, className(entry.class)), make("span", { class: "note" }, facts.join(" · ")));
  const element = make("details", { class: "clustered panel", open: isOpen }, summary);
  const build = () => element.childElementCount === 1 && element.append(...clusteredContent(entry));
  element.addEventListener("toggle", build);
  return element;
}

const sizeText = (cluster) => `${plural(cluster.count, "heatmap")} (${percent(cluster.share, 0)})`;

function clusteredContent(entry) {
  const clusters = entry.clusters.map((cluster) => clusterElement("h4", entry.class, cluster, sizeText(cluster)));
  return [make("div", { class: "cluster-list" }, clusters), eigenvalueChart(entry)].filter(Boolean);
}

// --- One cluster -------------------------------------------------------------------------------

// How bad it is and in which words; nothing if it is not suspicious.
function stateOf(cluster) {
  if (!cluster.suspicion) return null;
  if (isConfirmed(cluster)) return ["error", "Confirmed shortcut"];
  return ["warning", cluster.test ? "Suspicious, not confirmed" : "Suspicious, not tested"];
}

function clusterElement(heading, name, cluster, title) {
  const state = stateOf(cluster);
  const framed = cluster.region.length > 0 ? `; ${plural(cluster.region.length, "cell")} framed` : "";
  const label = `Mean heatmap of ${plural(cluster.count, "picture")}, strongest at ${strongestPlace(cluster.map)}${framed}`;
  return make("article", { class: `cluster ${state?.[0] ?? "plain"}` },
    make("div", { class: "map-box" },
      heatmapCanvas(cluster.map, cluster.region, label),
      framed !== "" && make("p", { class: "note" }, "framed: the suspicious region")),
    make(heading, { class: "cluster-title" }, title, state && make("span", { class: `badge ${state[0]}` }, icon(state[0]), state[1])),
    make("div", { class: "cluster-text" },
      cluster.suspicion && make("p", { class: "suspicion" }, cluster.suspicion),
      cluster.test && maskTest(cluster.test),
      known(cluster.purity) && make("p", { class: "note" }, `${percent(cluster.purity, 0)} of the labelled ones have the same label (purity)`)),
    memberList(name, cluster));
}

function maskTest(test) {
  const rows = [["as they are", test.before, "before"], ["region hidden", test.region_hidden, "hidden"], ["random regions hidden", test.random_hidden, "random"]];
  const fall = (share) => points(test.before - share);
  const tested = `${test.is_confirmed ? "Confirmed" : "Not confirmed"} on ${plural(test.pictures, "picture")}`;
  const verdict = `${tested}: hiding the region costs ${fall(test.region_hidden)} of probability, hiding equally large random regions ${fall(test.random_hidden)}.`;
  const body = rows.map(([name, share, kind]) => make("tr", {},
    make("th", { scope: "row" }, name),
    make("td", {}, bar(share, kind)),
    make("td", { class: "number" }, percent(share))));
  return make("div", { class: "mask-test" },
    make("p", {}, verdict),
    make("table", {}, make("caption", {}, "Mean probability of the class"), make("tbody", {}, body)));
}

function memberList(name, cluster) {
  const members = cluster.members.filter((member) => pictureOf(member.picture));
  if (members.length === 0) return null;
  const title = `In a cluster of ${className(name)}`;
  const item = (member, index) => {
    const button = make("button", { type: "button", title: member.path }, panel(pictureOf(member.picture), 2, `Overlay of ${member.path}`));
    return make("li", {}, onClick(button, () => openDetail(members.map((entry) => memberEntry(title, entry)), index)));
  };
  return make("ul", { class: "members", "aria-label": "Pictures of this cluster" }, members.map(item));
}

// --- The eigengap ------------------------------------------------------------------------------

function eigenvalueChart({ eigenvalues, eigengap_after: after }) {
  if (eigenvalues.length < 2) return null;
  const canvas = make("div", { role: "img", "aria-label": `The ${eigenvalues.length} smallest eigenvalues; the gap comes after number ${after}` });
  drawAtWidth(canvas, EIGENVALUES.height, (width) => drawEigenvalues(eigenvalues, after, width));
  const text = `Smallest eigenvalues of the graph of similar heatmaps: the gap after number ${after} gives ${plural(after, "cluster")}.`;
  return make("figure", { class: "eigenvalues" }, make("figcaption", {}, text), canvas);
}

function drawEigenvalues(values, after, width) {
  const { height, left, right, top, bottom } = EIGENVALUES;
  const most = Math.max(...values) || 1;
  const x = (index) => left + ((width - left - right) * (index + 0.5)) / values.length;
  const y = (value) => height - bottom - ((height - bottom - top) * value) / most;
  const grid = ticks(most, 2).map((value) => [
    draw("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
    words(left - 6, y(value) + 4, rounded.format(value), { class: "end" }),
  ]);
  const dots = values.map((value, index) => draw("circle", { class: index < after ? "chosen" : "rest", cx: x(index), cy: y(value), r: 3.5 }));
  const every = Math.ceil(values.length / Math.max(Math.floor(width / 28), 1));
  const labels = values.map((_, index) => index % every === 0 && words(x(index), height - 5, String(index + 1), { class: "middle" })).filter(Boolean);
  const gap = after > 0 && after < values.length && draw("line", { class: "gap", x1: x(after - 0.5), x2: x(after - 0.5), y1: top, y2: height - bottom });
  return chart(width, height, grid.flat(), gap, dots, labels);
}
