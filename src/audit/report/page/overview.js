// The verdict, the figures, what was found of each kind, and how it was audited.
const confirmedClusters = () => data.clustered.flatMap(({ class: name, clusters }) => clusters.filter(isConfirmed).map((cluster) => ({ name, cluster })));
const isConfirmed = (cluster) => Boolean(cluster.suspicion && cluster.test?.is_confirmed);

function showVerdict() {
  const { errors, warnings, infos, pictures } = data.counts;
  const found = [[errors, "error"], [warnings, "warning"]].filter(([number]) => number > 0).map(([number, name]) => plural(number, name));
  const shortcuts = confirmedClusters().length;
  const worst = errors > 0 || shortcuts > 0 ? "error" : warnings > 0 ? "warning" : "ok";
  const text = `${found.length > 0 ? found.join(", ") : "No errors or warnings"} in ${plural(pictures, "picture")}`;
  by("verdict").className = worst;
  by("verdict").replaceChildren(icon(worst), text);
  const details = [
    shortcuts > 0 && `${plural(shortcuts, "confirmed shortcut")}: see below.`,
    infos > 0 && `${plural(infos, "further finding")} for your information.`,
    data.counts.unreadable > 0 && `${plural(data.counts.unreadable, "file")} could not be read.`,
  ];
  by("verdict-detail").textContent = details.filter(Boolean).join(" ");
  by("dataset").append(pathElement(data.dataset));
  by("version").textContent = data.version;
}

function showFigures() {
  const { counts, accuracy } = data;
  const labelled = accuracy && `of ${plural(accuracy.pictures, "labelled picture")}`;
  const figures = [
    ["Images", count(counts.images)],
    ["Videos", count(counts.videos), counts.frames > 0 && `${plural(counts.frames, "frame")} sampled`],
    ["Pictures examined", count(counts.pictures)],
    ["Labelled", count(counts.labelled), counts.labelled > 0 && percent(counts.labelled / counts.pictures, 0)],
    ["Unreadable files", count(counts.unreadable)],
    accuracy && ["Top-1 accuracy", percent(accuracy.top1), labelled],
    accuracy && ["Top-5 accuracy", percent(accuracy.top5), labelled],
  ];
  const note = (text) => text && make("span", { class: "note" }, text);
  definitions(by("figures"), figures.filter(Boolean).map(([name, value, text]) => [name, [make("span", { class: "figure" }, value), note(text)]]));
  by("notices").hidden = data.notices.length === 0;
  by("notices").replaceChildren(...data.notices.map((line) => make("li", {}, line)));
}

function showKinds() {
  const order = Object.keys(SEVERITIES);
  const worst = new Map();
  // The worst of a kind has rank 1, and so is always among those that are shown.
  for (const { kind, severity } of data.findings) {
    if (!worst.has(kind) || order.indexOf(severity) < order.indexOf(worst.get(kind))) worst.set(kind, severity);
  }
  const severityOf = (kind) => worst.get(kind.name) ?? "info";
  const found = data.kinds.filter((kind) => kind.count > 0);
  found.sort((one, other) => order.indexOf(severityOf(one)) - order.indexOf(severityOf(other)));
  by("kind-table").hidden = found.length === 0;
  by("kind-table").tBodies[0].replaceChildren(...found.map((kind) => {
    const name = kind.shown > 0 ? viewLink({ kinds: new Set([kind.name]) }, kind.title) : kind.title;
    const shown = kind.shown < kind.count && make("span", { class: "note" }, `${count(kind.shown)} shown`);
    return make("tr", {},
      make("th", { scope: "row" }, name),
      make("td", {}, severityBadge(severityOf(kind))),
      make("td", { class: "number" }, count(kind.count), shown));
  }));
  const titles = (kinds) => kinds.map((kind) => kind.title.toLowerCase()).join(", ");
  const clean = data.kinds.filter((kind) => kind.count === 0 && !kind.lacking);
  const lacking = [...Map.groupBy(data.kinds.filter((kind) => kind.lacking), (kind) => kind.lacking)];
  by("kinds-clean").textContent = [
    clean.length > 0 && `Looked for, but not found: ${titles(clean)}.`,
    lacking.length > 0 && `Not looked for: ${lacking.map(([what, kinds]) => `${titles(kinds)} (${what})`).join("; ")}.`,
  ].filter(Boolean).join(" ");
}

function showSettings() {
  const { settings } = data;
  definitions(by("setting-list"), [
    ["Method", settings.method],
    ["Layer", settings.layer],
    ["Score", settings.score],
    ["Resize", settings.resize],
    ["Precision", settings.precision],
    ["Frames sampled", known(settings.sample_fps) && `${rounded.format(settings.sample_fps)} per second of video`],
    ["Labels", settings.labels ?? "none"],
    ["Boxes", settings.boxes ?? "none"],
    ["Weights (SHA-256)", make("code", {}, settings.weights_sha256)],
    ["Program", `gradcam-video ${data.version}`],
  ].filter(([, value]) => value !== false));
  definitions(by("how-list"), data.kinds.map((kind) => [kind.title, kind.how]));
}
