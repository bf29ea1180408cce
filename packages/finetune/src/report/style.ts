/** The style sheet of a report: light and dark, phone and desk, screen and paper. Its colours have a contrast of 4.5 and more (WCAG AA). */
export const STYLE = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #545c66; --line: #c8ced6; --panel: #f4f6f8; --series: #0b5cad; --mark: #a3341b; --good: #1a6b35; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181d; --ink: #e6e9ed; --soft: #a9b2bd; --line: #3a434e; --panel: #1d232a; --series: #7db8f5; --mark: #f2a08c; --good: #7fd39a; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 2rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p, ul, ol { margin: .5rem 0; max-width: 46rem; }
.soft { color: var(--soft); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1.25rem 0; padding: 0; }
.facts div { background: var(--panel); border-radius: .5rem; padding: .75rem 1rem; }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.4rem; font-weight: 600; }
.note { border-left: .25rem solid var(--mark); background: var(--panel); padding: .5rem 1rem; border-radius: 0 .5rem .5rem 0; max-width: 46rem; }
.note.good { border-color: var(--good); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1.5rem; }
figure { margin: .5rem 0; }
figure svg { display: block; width: 100%; max-width: 30rem; height: auto; color: var(--ink); }
figcaption { color: var(--soft); font-size: .9rem; max-width: 30rem; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; font-size: .95rem; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .25rem; }
th, td { overflow-wrap: break-word; text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); }
thead th { border-bottom-width: 2px; }
tbody th { font-weight: 500; }
td.number, th.number { font-variant-numeric: tabular-nums; }
.pairs { table-layout: fixed; }
.pairs th { width: 32%; }
.pairs td { overflow-wrap: anywhere; }
pre { background: var(--panel); padding: .75rem 1rem; border-radius: .5rem; white-space: pre-wrap; font-size: .85rem; line-height: 1.45; }
.statement span { display: block; padding-left: 4ch; text-indent: -4ch; }
.statement .field { padding-left: 15ch; text-indent: -15ch; }
code { font-size: .95em; }
.answer { margin: 1rem 0; padding: .25rem 1rem .5rem; background: var(--panel); border-radius: .5rem; }
.answer dt { color: var(--soft); font-size: .85rem; margin-top: .4rem; }
.answer dd { margin: 0; }
footer { padding-top: 1.5rem; padding-bottom: 3rem; color: var(--soft); font-size: .9rem; }
@media (max-width: 40rem) { .statement .field { padding-left: 4ch; text-indent: -4ch; } h1 { font-size: 1.4rem; } .facts { grid-template-columns: 1fr 1fr; } .facts dd { font-size: 1.2rem; } table { font-size: .9rem; } }
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --panel: #f4f4f4; --series: #0b5cad; --mark: #a3341b; --good: #1a6b35; }
  @page { margin: 18mm 16mm; }
  body { font-size: 10pt; }
  h2 { break-after: avoid; }
  figure, .answer, tr, .facts, .note { break-inside: avoid; }
  .figures { grid-template-columns: 1fr 1fr; }
}
`;
