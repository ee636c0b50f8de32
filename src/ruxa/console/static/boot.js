// Runs before the first paint: parts that need a script are hidden until this line says that there is one.
document.documentElement.dataset.js = "";
