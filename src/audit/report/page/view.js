// What is shown of the findings: filters, order, the opened one. It stands behind # in the address, so that it can be shared.
const KINDS = new Map(data.kinds.map((kind, order) => [kind.name, { ...kind, order }]));
const SORTS = ["severity", "rank", "least-confident", "most-confident", "path"];
const EVERYTHING = { kinds: new Set(), severities: new Set(), className: "", query: "", sort: "severity" };
let view = EVERYTHING;

const idOf = (finding) => `${finding.kind}-${finding.rank}`;
const findingsById = new Map(data.findings.map((finding) => [idOf(finding), finding]));

// --- The address -------------------------------------------------------------------------------

function hashOf({ kinds, severities, className, query, sort }, id) {
  const parameters = new URLSearchParams();
  const set = (name, value) => value && parameters.set(name, value);
  set("kind", [...kinds].join(" "));
  set("severity", [...severities].join(" "));
  set("class", className);
  set("q", query);
  set("sort", sort === EVERYTHING.sort ? "" : sort);
  set("finding", id);
  return `#${parameters}`;
}

// Nothing if it is the address of a section.
function readHash() {
  const hash = location.hash.slice(1);
  if (hash !== "" && !hash.includes("=")) return null;
  const parameters = new URLSearchParams(hash);
  const list = (name, isKnown) => new Set((parameters.get(name) ?? "").split(" ").filter(isKnown));
  const sort = parameters.get("sort");
  const wanted = {
    kinds: list("kind", (name) => KINDS.has(name)),
    severities: list("severity", (name) => Object.hasOwn(SEVERITIES, name)),
    className: parameters.get("class") ?? "",
    query: parameters.get("q") ?? "",
    sort: SORTS.includes(sort) ? sort : EVERYTHING.sort,
  };
  return { wanted, id: parameters.get("finding") };
}

// A link to some of the findings; it works in a new tab, too.
function viewLink(part, text) {
  const link = make("a", { href: hashOf({ ...EVERYTHING, ...part }) }, text);
  return onClick(link, (event) => {
    if (!isPlainClick(event)) return;
    event.preventDefault();
    history.pushState(null, "", link.getAttribute("href"));
    followHash();
    goToFindings();
  });
}

function goToFindings() {
  by("findings").scrollIntoView();
  by("findings-title").focus({ preventScroll: true });
}

// --- Which findings ----------------------------------------------------------------------------

const searchText = new Map(data.findings.map((finding) => {
  const { path, message, label, predicted } = finding;
  return [finding, [path, message, label, predicted, className(label), className(predicted)].filter(Boolean).join("\n").toLowerCase()];
}));

const TESTS = {
  kinds: (finding) => view.kinds.size === 0 || view.kinds.has(finding.kind),
  severities: (finding) => view.severities.size === 0 || view.severities.has(finding.severity),
  className: (finding) => view.className === "" || finding.label === view.className || finding.predicted === view.className,
  query: (finding) => searchText.get(finding).includes(view.query.trim().toLowerCase()),
};

// The findings that pass all filters, or all but one.
function passing(but) {
  const tests = Object.entries(TESTS).filter(([name]) => name !== but);
  return data.findings.filter((finding) => tests.every(([, test]) => test(finding)));
}

const byKind = (one, other) => KINDS.get(one.kind).order - KINDS.get(other.kind).order || one.rank - other.rank;
const severityOrder = ({ severity }) => Object.keys(SEVERITIES).indexOf(severity);
// Those without a confidence come last in both directions.
const byConfidence = (sign) => (one, other) => (known(other.confidence) - known(one.confidence)) || sign * ((one.confidence ?? 0) - (other.confidence ?? 0));

const ORDERS = {
  severity: (one, other) => severityOrder(one) - severityOrder(other),
  rank: (one, other) => one.rank - other.rank || severityOrder(one) - severityOrder(other),
  "least-confident": byConfidence(1),
  "most-confident": byConfidence(-1),
  path: (one, other) => (one.path < other.path ? -1 : one.path > other.path ? 1 : (one.time_s ?? 0) - (other.time_s ?? 0)),
};

function sorted(findings) {
  return [...findings].sort((one, other) => ORDERS[view.sort](one, other) || byKind(one, other));
}
