// The findings as cards, with filters.
const CARDS_AT_ONCE = 24;
const TYPING_PAUSE_MS = 150;
let listed = [];
let cardsWanted = CARDS_AT_ONCE;

// --- Filters -----------------------------------------------------------------------------------

// Name of a control -> where its count stands.
const countElements = new Map();

function checkbox(group, name, text) {
  const number = make("span", { class: "count" });
  countElements.set(`${group} ${name}`, number);
  return make("label", { class: "choice" }, make("input", { type: "checkbox", name: group, value: name }), make("span", {}, text), number);
}

function makeFilters() {
  by("severity-filter").append(...Object.entries(SEVERITIES).map(([name, text]) => checkbox("severities", name, [icon(name), " ", text])));
  const found = data.kinds.filter((kind) => kind.shown > 0);
  const groups = Map.groupBy(found, (kind) => kind.group);
  by("kind-filter").append(...[...groups].map(([group, kinds]) =>
    make("fieldset", {}, make("legend", {}, group), kinds.map((kind) => checkbox("kinds", kind.name, kind.title)))));
  const names = new Set(data.findings.flatMap((finding) => [finding.label, finding.predicted]).filter(Boolean));
  const options = [...names].sort().map((name) => new Option(className(name), name));
  by("class-filter").replaceChildren(new Option("any", ""), ...options);
  by("filters").open = matchMedia("(min-width: 60rem)").matches;
}

// The controls show what is filtered, and how many findings each choice would leave.
function showFilters() {
  for (const box of by("filter-form").querySelectorAll("input[type=checkbox]")) box.checked = view[box.name].has(box.value);
  if (by("query").value !== view.query) by("query").value = view.query;
  const isKnown = [...by("class-filter").options].some((option) => option.value === view.className);
  if (!isKnown) by("class-filter").append(new Option(className(view.className), view.className));
  by("class-filter").value = view.className;
  by("sort").value = view.sort;
  const of = {
    kinds: Map.groupBy(passing("kinds"), (finding) => finding.kind),
    severities: Map.groupBy(passing("severities"), (finding) => finding.severity),
  };
  for (const [key, element] of countElements) {
    const [group, name] = key.split(" ");
    element.textContent = count(of[group].get(name)?.length ?? 0);
  }
  const active = view.kinds.size + view.severities.size + (view.className !== "") + (view.query.trim() !== "");
  by("active-filters").textContent = active > 0 ? `(${active} active)` : "";
  by("clear").disabled = active === 0;
}

function changeView(part) {
  view = { ...view, ...part };
  history.replaceState(null, "", hashOf(view));
  showFindings();
}

function listenToFilters() {
  let timer = 0;
  by("query").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => changeView({ query: by("query").value }), TYPING_PAUSE_MS);
  });
  by("filter-form").addEventListener("submit", (event) => event.preventDefault());
  by("filter-form").addEventListener("change", ({ target }) => {
    if (target.type !== "checkbox") return;
    const chosen = new Set(view[target.name]);
    if (target.checked) chosen.add(target.value);
    else chosen.delete(target.value);
    changeView({ [target.name]: chosen });
  });
  by("class-filter").addEventListener("change", () => changeView({ className: by("class-filter").value }));
  by("sort").addEventListener("change", () => changeView({ sort: by("sort").value }));
  by("clear").addEventListener("click", () => {
    clearTimeout(timer);
    changeView({ ...EVERYTHING, sort: view.sort });
    // It is disabled now and would drop the focus.
    by("query").focus();
  });
  by("show-more").addEventListener("click", () => showMoreCards(CARDS_AT_ONCE));
  by("show-all").addEventListener("click", () => showMoreCards(Infinity));
}

// --- Cards -------------------------------------------------------------------------------------

function showFindings() {
  listed = sorted(passing());
  cardsWanted = CARDS_AT_ONCE;
  showFilters();
  const total = data.findings.length;
  by("no-findings").hidden = total > 0;
  by("browser").hidden = total === 0;
  const all = plural(total, "finding");
  by("result-count").textContent = listed.length === total ? all : `${count(listed.length)} of ${all}`;
  by("none-left").hidden = listed.length > 0;
  const missing = sum(data.kinds.map((kind) => kind.count - kind.shown));
  by("partial").hidden = missing === 0;
  by("partial").textContent = `The worst of each kind are shown. ${plural(missing, "more finding")} ${missing === 1 ? "is" : "are"} in findings.json, next to this report.`;
  by("cards").replaceChildren();
  addCards();
}

function addCards() {
  const begin = by("cards").children.length;
  by("cards").append(...listed.slice(begin, cardsWanted).map(card));
  const left = Math.max(listed.length - cardsWanted, 0);
  by("more").hidden = left === 0;
  by("show-more").textContent = `Show ${Math.min(CARDS_AT_ONCE, left)} more`;
  by("print-note").textContent = `${plural(left, "finding")} not printed: use “Show all” before printing.`;
  by("show-all").textContent = `Show all ${count(listed.length)}`;
}

function showMoreCards(number) {
  const before = by("cards").children.length;
  cardsWanted += number;
  addCards();
  by("cards").children[before]?.querySelector("a").focus();
}

function card(finding) {
  const kind = KINDS.get(finding.kind);
  const id = idOf(finding);
  const link = make("a", { href: hashOf(view, id) }, kind.title, unseen(`, ${SEVERITIES[finding.severity]}: ${finding.path}`));
  onClick(link, (event) => {
    if (!isPlainClick(event)) return;
    event.preventDefault();
    history.pushState({ isOpenedHere: true }, "", link.getAttribute("href"));
    openFinding(id);
  });
  const time = known(finding.time_s) && make("span", { class: "time" }, ` at ${seconds(finding.time_s)}`);
  return make("li", { class: "card", "data-id": id },
    triptych(finding.picture),
    make("div", { class: "card-text" },
      make("div", { class: "card-head" }, make("h3", {}, link), severityBadge(finding.severity)),
      make("p", { class: "card-path" }, pathElement(finding.path, { title: finding.path }), time),
      make("p", { class: "card-message" }, finding.message),
      definitions(make("dl", { class: "card-facts" }), [
        ["Predicted", finding.predicted && [classElement(finding.predicted), " ", make("span", { class: "number" }, percent(finding.confidence))]],
        ["Label", classElement(finding.label)],
      ])));
}

// Shows as many cards as it takes.
function focusCard(id) {
  const index = listed.findIndex((finding) => idOf(finding) === id);
  if (index < 0) return;
  cardsWanted = Math.max(cardsWanted, index + 1);
  addCards();
  by("cards").children[index].querySelector("a").focus();
}

// --- Opening -----------------------------------------------------------------------------------

function openFinding(id) {
  const finding = findingsById.get(id);
  // One that the filters hide is shown among all.
  const list = listed.includes(finding) ? listed : sorted(data.findings);
  openDetail(list.map(findingEntry), list.indexOf(finding));
}

// Shows what the address says: whether a filter changed or a finding is opened.
function followHash() {
  const hash = readHash();
  if (!hash) return;
  const isOther = hashOf(hash.wanted) !== hashOf(view);
  view = hash.wanted;
  if (isOther) showFindings();
  if (findingsById.has(hash.id)) openFinding(hash.id);
  else if (by("detail").open && entries[shownEntry].id) by("detail").close();
}
