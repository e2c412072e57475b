// The style of the reference, and its search: the page reads the same without either.

export const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#ddd, #333); --soft: light-dark(#f5f5f3, #1c1c1a);
  --link: light-dark(#0b57d0, #8ab4f8); font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; display: grid; grid-template-columns: 17rem minmax(0, 1fr);
  background: light-dark(#fff, #121211); color: light-dark(#1a1a1a, #e6e6e3); }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1rem; box-sizing: border-box;
  border-right: 1px solid var(--line); font-size: .85rem; }
nav h2 { font-size: .85rem; margin: 1rem 0 .3rem; } nav li { margin: .2rem 0; }
nav ol { margin: 0; list-style: none; padding: 0; }
main { padding: 1rem 2rem 4rem; max-width: 56rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
h2 code { font-size: 1rem; }
code, pre { font: .85rem/1.45 ui-monospace, monospace; } pre { background: var(--soft); padding: .8rem; overflow: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); padding: .3rem .6rem .3rem 0; }
input { width: 100%; box-sizing: border-box; font: inherit; padding: .3rem; }
[hidden] { display: none; }
@media (max-width: 48rem) { body { display: block; } nav { position: static; height: auto; border: 0; } }
`;

export const SEARCH = `
const box = document.querySelector("input");
const sections = [...document.querySelectorAll("main section")];
const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a.parentElement]));
box.hidden = false;
box.addEventListener("input", () => {
  const words = box.value.toLowerCase().split(/\\s+/);
  for (const section of sections) {
    const text = section.textContent.toLowerCase();
    section.hidden = !words.every((word) => text.includes(word));
    const link = links.get(section.id);
    if (link) link.hidden = section.hidden;
  }
});
`;
