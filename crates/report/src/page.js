/* What works without the answers: the language, tables that sort, pictures behind buttons. */
'use strict';
(() => {
  /* The words of the page stand in both languages beside what is shown. */
  const setLanguage = (language) => {
    document.documentElement.lang = language === 'zh' ? 'zh-Hans' : 'en';
    for (const element of document.querySelectorAll('[data-en]')) {
      element.textContent = element.dataset[language];
    }
    document.dispatchEvent(new Event('language'));
  };
  document.getElementById('language').addEventListener('click', () => {
    setLanguage(document.documentElement.lang === 'en' ? 'zh' : 'en');
  });

  /* A cell's value is its number where it has one; what has no value stays last in both directions. */
  const valueOf = (cell) => {
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = cell.textContent.trim();
    return text === '' || cell.classList.contains('none') ? null : text;
  };
  const compare = (a, b) => {
    if (typeof a === 'number' && typeof b === 'number') return a - b;
    if (typeof a === 'number') return -1;
    if (typeof b === 'number') return 1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  const sort = (table, heading) => {
    const column = heading.cellIndex;
    const ascending = heading.getAttribute('aria-sort') === 'descending' || (heading.getAttribute('aria-sort') === null && !heading.classList.contains('n'));
    for (const other of heading.parentNode.cells) other.removeAttribute('aria-sort');
    heading.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => [valueOf(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return ascending ? compare(a, b) : compare(b, a);
    });
    body.append(...rows.map(([, row]) => row));
  };
  document.addEventListener('click', (event) => {
    const heading = event.target.closest('table.sortable thead th');
    /* The list of answers sorts all items, not the rows that happen to be shown. */
    if (!heading || !event.target.closest('button') || heading.closest('#items')) return;
    sort(heading.closest('table'), heading);
  });

  /* Without this script all pictures are shown, as on paper. */
  const tabs = Array.from(document.querySelectorAll('.tabs button'));
  const choose = (chosen) => {
    for (const button of tabs) button.setAttribute('aria-pressed', String(button === chosen));
    for (const picture of document.querySelectorAll('.tab')) picture.hidden = picture.dataset.tab !== chosen.dataset.tab;
  };
  for (const button of tabs) button.addEventListener('click', () => choose(button));
  if (tabs.length > 0) choose(tabs[0]);
})();
