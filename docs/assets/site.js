// A table that is wider than the page scrolls in a frame that the theme puts around it; so the keyboard can scroll it
// too, the frame takes the focus while there is something to scroll.
addEventListener("load", () => {
  const sized = new ResizeObserver(entries => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  document.querySelectorAll(".md-typeset__scrollwrap").forEach(frame => sized.observe(frame));
});
