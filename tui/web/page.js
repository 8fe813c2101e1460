// Keys go to the app from the start, without a click first.
window.addEventListener("load", () => {
  const timer = setInterval(() => {
    const keys = document.querySelector(".xterm-helper-textarea");
    if (keys) {
      clearInterval(timer);
      keys.focus();
    }
  }, 50);
});
