// The dialog with one finding, or one member of a cluster.

// What can be gone through: each entry has a title and makes its content; findings have an id.
let entries = [];
let shownEntry = 0;
let openedId = null;

// What the dialog returns when it closes because something else is to be shown.
const ELSEWHERE = "elsewhere";

function openDetail(list, index) {
  entries = list;
  openedId = list[index].id;
  showEntry(index);
  if (by("detail").open) return;
  by("detail").returnValue = "";
  by("detail").showModal();
  by("close").focus();
}

function showEntry(index) {
  shownEntry = index;
  const entry = entries[index];
  by("detail-title").replaceChildren(...entry.title());
  by("detail-content").replaceChildren(...entry.content());
  const position = entries.length > 1 ? `${count(index + 1)} of ${count(entries.length)}` : "";
  by("detail-position").replaceChildren(position, unseen(` ${by("detail-title").textContent}`));
  // Not disabled: a disabled button would drop the focus, and with it the arrow keys.
  by("previous").setAttribute("aria-disabled", index === 0);
  by("next").setAttribute("aria-disabled", index === entries.length - 1);
  by("previous").hidden = by("next").hidden = entries.length === 1;
  by("detail-body").scrollTop = 0;
}

function step(offset) {
  const index = shownEntry + offset;
  if (index < 0 || index >= entries.length) return;
  showEntry(index);
  const { id } = entries[index];
  if (id) history.replaceState(history.state, "", hashOf(view, id));
}

by("previous").addEventListener("click", () => step(-1));
by("next").addEventListener("click", () => step(1));
by("close").addEventListener("click", () => by("detail").close());
by("detail").addEventListener("click", (event) => event.target === by("detail") && by("detail").close());
by("detail").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});

// A finding that closes leaves the address. Going back is right only where that leads to the place that the finding was opened from.
by("detail").addEventListener("close", () => {
  const { id } = entries[shownEntry];
  const isElsewhere = by("detail").returnValue === ELSEWHERE;
  if (!id) return;
  if (!isElsewhere) focusCard(id);
  if (!readHash()?.id) return;
  if (history.state?.isOpenedHere && id === openedId && !isElsewhere) history.back();
  else history.replaceState(null, "", hashOf(view));
});

// --- What stands in it -------------------------------------------------------------------------

const findingEntry = (finding) => ({
  id: idOf(finding),
  title: () => [severityBadge(finding.severity), " ", KINDS.get(finding.kind).title],
  content: () => findingContent(finding),
});

function findingContent(finding) {
  const kind = KINDS.get(finding.kind);
  const facts = [
    ["Label", classElement(finding.label)],
    ["Predicted", classElement(finding.predicted)],
    ["Confidence", known(finding.confidence) && percent(finding.confidence)],
    [kind.value_name, known(finding.value) && measure(finding.value, kind.value_unit)],
    ["Rank in its kind", `${count(finding.rank)} of ${count(kind.count)}`],
    ["Frame", known(finding.frame) && count(finding.frame)],
    ["Time", known(finding.time_s) && seconds(finding.time_s)],
    ...finding.values.map(({ name, value, unit }) => [name, known(value) && measure(value, unit)]),
  ];
  return [
    make("p", { class: "detail-path" }, pathElement(finding.path)),
    make("p", { class: "detail-message" }, finding.message),
    panels(finding.picture),
    timelineButton(finding),
    make("div", { class: "columns" },
      definitions(make("dl", { class: "facts" }), facts.filter(([, value]) => value !== false)),
      make("div", {}, make("h3", {}, "How this is computed"), make("p", {}, kind.how))),
    finding.related.length > 0 && make("h3", {}, finding.related.length === 1 ? "Compared with" : `Compared with ${count(finding.related.length)} pictures`),
    finding.related.length > 0 && make("div", { class: "related-list" }, finding.related.map(pictureRef)),
  ].filter(Boolean);
}

// Leads from a frame to its video.
function timelineButton(finding) {
  const index = data.videos.findIndex((video) => video.path === finding.path);
  if (index < 0) return null;
  const button = make("button", { type: "button", class: "to-timeline" }, "Show in the video's timeline");
  return make("p", {}, onClick(button, () => {
    by("detail").close(ELSEWHERE);
    showMoment(index, finding.time_s ?? 0);
  }));
}

const memberEntry = (title, member) => ({
  title: () => [title],
  content: () => [
    make("p", { class: "detail-path" }, pathElement(member.path), known(member.time_s) && ` at ${seconds(member.time_s)}`),
    panels(member.picture),
  ],
});
