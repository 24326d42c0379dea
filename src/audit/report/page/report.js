// Puts everything in its place.
showVerdict();
showFigures();
showKinds();
showConfidence(data.confidence);
showClasses(data.classes);
showConfusion(data.confusion);
showSettings();
makeFilters();
listenToFilters();
showVideos();
showClusters();

for (const link of document.querySelectorAll("nav a")) {
  const section = by(link.getAttribute("href").slice(1));
  link.hidden = section.hidden;
  const numbers = { findings: data.findings.length, videos: data.videos.length, clusters: data.clustered.length };
  if (section.id in numbers) link.append(" ", make("span", { class: "count" }, count(numbers[section.id])));
}

showFindings();
followHash();
if (readHash() && location.hash.length > 1 && !by("detail").open) goToFindings();
addEventListener("hashchange", followHash);
