"use strict";
(() => {
  // A link into a folded part opens it.
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  if (location.hash) open();

  const load = (element) => {
    const { textContent, dataset } = document.getElementById(element.dataset.film);
    const bytes = Uint8Array.from(atob(textContent.trim()), (letter) => letter.charCodeAt(0));
    element.src = URL.createObjectURL(new Blob([bytes], { type: dataset.kind }));
  };
  addEventListener("DOMContentLoaded", () => {
    const near = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) { near.unobserve(target); load(target); }
      }
    }, { rootMargin: "1000px" });
    document.querySelectorAll("[data-film]").forEach((element) => near.observe(element));
  });

  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) target.play().catch(() => {});
        else target.pause();
      }
    }, { threshold: 0.5 });
    document.querySelectorAll("video[data-autoplay]").forEach((video) => seen.observe(video));
  }
})();
