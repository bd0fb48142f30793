/* Searching and reading answers. All of the study's text enters the page as textContent, never as markup. */
'use strict';
(() => {
  const PAGE = 50; /* items listed at once */
  const SLICE = 12; /* milliseconds of searching before the page may do something else */
  const AHEAD = 4; /* blocks unpacked at a time while searching */
  const get = (id) => document.getElementById(id);
  const explorer = get('explorer');
  const words = JSON.parse(explorer.dataset.words);
  const inChinese = () => document.documentElement.lang !== 'en';
  const say = (key, ...values) =>
    values.reduce((text, value, place) => text.replace(`{${place}}`, () => String(value)), words[key][inChinese() ? 1 : 0]);
  const fixed = (value, digits) => value.toFixed(digits).replace('-', '−');
  const whole = (value) => value.toLocaleString('en');

  /* An element; what it holds is elements or text. */
  const make = (tag, properties, ...children) => {
    const element = document.createElement(tag);
    Object.assign(element, properties);
    element.append(...children);
    return element;
  };

  /* Blocks are JSON, deflated, in base64. */
  const decode = async (id) => {
    const text = get(id).textContent;
    const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    return JSON.parse(await new Response(stream).text());
  };
  const pause = () => new Promise((resolve) => setTimeout(resolve, 0));

  let index = null; /* { arms, judges, categories, scale, items } */
  let found = []; /* places of the items that pass the filters */
  let first = 0; /* place in `found` of the first one listed */
  let order = { column: null, ascending: true };
  let search = 0; /* which search is the latest: an older one stops */

  /* Items: [id, category, question's head, whether that is all, means of arms, answers without a score]. */
  const spread = (item) => {
    const means = item[4].filter((mean) => mean !== null);
    return means.length < 2 ? null : Math.max(...means) - Math.min(...means);
  };
  const scoreOf = (item, arm) => {
    if (arm !== '') return item[4][Number(arm)];
    const means = item[4].filter((mean) => mean !== null);
    return means.length === 0 ? null : means.reduce((a, b) => a + b, 0) / means.length;
  };
  const isSplit = (item) => spread(item) !== null && spread(item) >= (index.scale[1] - index.scale[0]) / 2;

  const number = (input) => (input.value === '' ? null : Number(input.value));
  const filters = () => ({
    text: get('f-text').value.trim().toLowerCase(),
    category: get('f-category').value,
    arm: get('f-arm').value,
    low: number(get('f-low')),
    high: number(get('f-high')),
    disagree: get('f-disagree').checked,
    unscored: get('f-unscored').checked,
  });
  /* Everything but the text. */
  const passes = (item, wanted) => {
    if (wanted.category !== '' && item[1] !== Number(wanted.category)) return false;
    if (wanted.disagree && !isSplit(item)) return false;
    if (wanted.unscored && item[5] === 0) return false;
    if (wanted.low === null && wanted.high === null) return true;
    const score = scoreOf(item, wanted.arm);
    return score !== null && (wanted.low === null || score >= wanted.low) && (wanted.high === null || score <= wanted.high);
  };
  const holds = (text, wanted) => text !== null && text.toLowerCase().includes(wanted);
  const headHolds = (item, wanted) => holds(item[0], wanted) || holds(index.categories[item[1]], wanted) || holds(item[2], wanted);
  /* Block: [question, reference, [arm, seed, text, [judge, repeat, score, status, words]]]. */
  const blockHolds = ([question, reference, answers], wanted) =>
    holds(question, wanted) || holds(reference, wanted) ||
    answers.some((answer) => holds(answer[2], wanted) || answer[3].some((said) => holds(said[4], wanted) || holds(said[3], wanted)));

  const sortKey = {
    0: (item) => item[0],
    1: (item) => index.categories[item[1]],
    2: (item) => item[2],
    3: (item) => scoreOf(item, get('f-arm').value),
    4: spread,
  };
  const sortFound = () => {
    if (order.column === null) {
      found.sort((a, b) => a - b);
      return;
    }
    const keys = new Map(found.map((place) => [place, sortKey[order.column](index.items[place])]));
    const sign = order.ascending ? 1 : -1;
    found.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      return sign * (typeof x === 'number' ? x - y : x.localeCompare(y, undefined, { numeric: true })) || a - b;
    });
  };

  /* Filters what the index knows at once; then reads the answers, a slice at a time, for the text. */
  const refilter = async () => {
    const mine = ++search;
    const wanted = filters();
    const rest = [];
    found = [];
    index.items.forEach((item, place) => {
      if (!passes(item, wanted)) return;
      if (wanted.text === '' || headHolds(item, wanted.text)) found.push(place);
      else rest.push(place);
    });
    first = 0;
    list();
    let since = performance.now();
    const coming = []; /* blocks being unpacked, which other threads do */
    let next = 0;
    for (let done = 0; done < rest.length; done++) {
      while (coming.length < AHEAD && next < rest.length) coming.push(decode(`item-${rest[next++]}`));
      const block = await coming.shift();
      if (mine !== search) return;
      if (blockHolds(block, wanted.text)) found.push(rest[done]);
      if (performance.now() - since < SLICE) continue;
      get('found').textContent = say('searching', whole(found.length), whole(done + 1), whole(rest.length));
      await pause();
      if (mine !== search) return;
      since = performance.now();
    }
    if (rest.length > 0) list();
    explorer.dataset.searched = String(mine);
  };

  const row = (place) => {
    const item = index.items[place];
    const button = make('button', { type: 'button', textContent: item[0] === '' ? `#${place + 1}` : item[0] });
    button.setAttribute('aria-label', say('open', button.textContent));
    const tags = [];
    if (isSplit(item)) tags.push(make('span', { className: 'tag', textContent: say('disagree') }));
    if (item[5] > 0) tags.push(make('span', { className: 'tag', textContent: say('unscored', item[5]) }));
    const shown = (value) => make('td', { className: value === null ? 'n none' : 'n', textContent: value === null ? '–' : fixed(value, 3) });
    const line = make(
      'tr', {},
      make('th', { scope: 'row' }, make('bdi', {}, button)),
      make('td', {}, make('bdi', { textContent: index.categories[item[1]] })),
      make('td', {}, make('bdi', { textContent: item[3] ? item[2] : `${item[2]}…` }), ' ', ...tags),
      shown(scoreOf(item, get('f-arm').value)),
      shown(spread(item)),
    );
    line.addEventListener('click', () => open(place));
    return line;
  };
  const list = () => {
    sortFound();
    const shown = found.slice(first, first + PAGE);
    document.querySelector('#items tbody').replaceChildren(...shown.map(row));
    get('found').textContent = say('found', whole(found.length), whole(index.items.length));
    get('page-range').textContent = shown.length === 0 ? '' : say('page', whole(first + 1), whole(first + shown.length));
    get('page-previous').disabled = first === 0;
    get('page-next').disabled = first + PAGE >= found.length;
  };
  const turn = (by) => {
    first = Math.max(0, first + by);
    list();
    document.querySelector('#items .scroll').scrollTop = 0;
  };

  /* One item, its arms side by side. */
  const dialog = get('item');
  let shown = null; /* { place, block, seed } */
  let chosenArms = new Set();
  const open = async (place) => {
    const block = await decode(`item-${place}`);
    shown = { place, block, seed: shown === null ? undefined : shown.seed };
    draw();
    if (!dialog.open) dialog.showModal();
    dialog.querySelector('.inner').scrollTop = 0;
  };
  const step = (by) => {
    const next = found[found.indexOf(shown.place) + by];
    if (next !== undefined) open(next);
  };
  const button = (text, action, disabled) => {
    const made = make('button', { type: 'button', textContent: text, disabled: disabled === true });
    made.addEventListener('click', action);
    return made;
  };
  const score = (value) => (value === null ? say('no_score') : fixed(value, 3));
  const said = ([judge, repeat, value, status, text], repeats) => {
    const parts = [index.judges[judge]];
    if (repeats) parts.push(say('repeat', repeat + 1));
    const what = value === null ? `${score(value)} (${status})` : score(value);
    const line = make('div', { className: 'said' }, make('bdi', { textContent: parts.join(' · ') }), ': ', make('b', {}, make('bdi', { textContent: what })));
    if (text !== '') line.append(make('p', { className: 'text', textContent: text }));
    return line;
  };
  const card = (name, answer, manySeeds) => {
    if (answer === null) {
      return make('article', { className: 'card' }, make('header', {}, make('h4', { textContent: name })), make('p', { className: 'text none', textContent: say('no_answer') }));
    }
    const [, seed, text, judgements] = answer;
    const scores = judgements.map((judgement) => judgement[2]).filter((value) => value !== null);
    const mean = scores.length === 0 ? null : scores.reduce((a, b) => a + b, 0) / scores.length;
    const title = make('h4', {}, make('bdi', { textContent: name }));
    if (manySeeds) title.append(` · ${say('seed')} ${seed}`);
    const repeats = judgements.some((judgement) => judgement[1] > 0);
    return make(
      'article', { className: 'card' },
      make('header', {}, title, make('span', { textContent: score(mean) })),
      make('p', { className: text === '' ? 'text none' : 'text', textContent: text === '' ? say('empty') : text }),
      ...judgements.map((judgement) => said(judgement, repeats)),
    );
  };
  const armChooser = () => {
    const summary = make('summary', { textContent: say('arms_shown', chosenArms.size, index.arms.length) });
    const boxes = index.arms.map((name, arm) => {
      const box = make('input', { type: 'checkbox', checked: chosenArms.has(arm) });
      box.addEventListener('change', () => {
        if (box.checked) chosenArms.add(arm);
        else chosenArms.delete(arm);
        drawCards();
        summary.textContent = say('arms_shown', chosenArms.size, index.arms.length);
      });
      return make('label', {}, box, ' ', make('bdi', { textContent: name }));
    });
    const set = (arms) => () => { chosenArms = new Set(arms); draw(true); };
    return make(
      'details', {}, summary,
      make('fieldset', {}, ...boxes, button(say('every'), set(index.arms.keys())), button(say('few'), set([0, 1, 2].filter((arm) => arm < index.arms.length)))),
    );
  };
  let drawing = 0; /* which drawing of cards is the latest: an older one stops */
  const drawCards = async () => {
    const mine = ++drawing;
    const answers = shown.block[2];
    const place = dialog.querySelector('.cards');
    place.replaceChildren();
    let since = performance.now();
    for (let arm = 0; arm < index.arms.length; arm++) {
      if (!chosenArms.has(arm)) continue;
      const name = index.arms[arm];
      const own = answers.filter((answer) => answer[0] === arm);
      const wanted = own.filter((answer) => shown.seed === null || answer[1] === shown.seed);
      /* A base model has no training of that seed: what it answered is shown with its own seed. */
      const some = wanted.length > 0 ? wanted : own.slice(0, 1);
      if (some.length === 0) place.append(card(name, null, false));
      for (const answer of some) place.append(card(name, answer, answer[1] !== shown.seed));
      if (performance.now() - since < SLICE) continue;
      await pause();
      if (mine !== drawing) return;
      since = performance.now();
    }
  };
  const draw = (keepOpen) => {
    const item = index.items[shown.place];
    const [question, reference, answers] = shown.block;
    const place = found.indexOf(shown.place);
    const title = make('h3', { id: 'item-title', tabIndex: -1, autofocus: true }, make('bdi', { textContent: `${item[0]} · ${index.categories[item[1]]}` }));
    const asked = make('div', { className: 'asked' }, make('div', {}, make('h4', { textContent: say('question') }), make('p', { className: 'text', textContent: question })));
    if (reference !== null) asked.append(make('div', {}, make('h4', { textContent: say('reference') }), make('p', { className: 'text', textContent: reference })));
    const seeds = Array.from(new Set(answers.map((answer) => answer[1])));
    /* A seed is kept from item to item; null is all of them. */
    if (shown.seed !== null && !seeds.includes(shown.seed)) shown.seed = seeds.length === 0 ? null : seeds[0];
    const chooser = make('div', { className: 'choose' });
    if (seeds.length > 1) {
      const select = make('select', {}, ...seeds.map((seed) => make('option', { value: seed, textContent: seed })), make('option', { value: '', textContent: say('all_seeds') }));
      select.value = shown.seed === null ? '' : shown.seed;
      select.addEventListener('change', () => {
        shown.seed = select.value === '' ? null : select.value;
        drawCards();
      });
      chooser.append(make('label', {}, `${say('seed')} `, select));
    }
    const arms = armChooser();
    arms.open = keepOpen === true;
    chooser.append(arms);
    /* The bar is made anew: who stands on one of its buttons stays there. */
    const focused = Array.from(dialog.querySelectorAll('.bar button')).indexOf(document.activeElement);
    dialog.replaceChildren(
      make('div', { className: 'bar' }, title,
        button(say('previous'), () => step(-1), place <= 0), button(say('next'), () => step(1), place < 0 || place + 1 >= found.length), button(say('close'), () => dialog.close())),
      make('div', { className: 'inner' }, asked, chooser, make('div', { className: 'cards' })),
    );
    drawCards();
    const buttons = Array.from(dialog.querySelectorAll('.bar button'));
    if (focused >= 0) (buttons[focused].disabled ? buttons.at(-1) : buttons[focused]).focus();
  };

  const fillSelects = () => {
    const options = (select, everything, names, empty) => {
      const kept = select.value;
      const named = names.map((name, place) => make('option', { value: String(place), textContent: name === '' ? empty : name }));
      select.replaceChildren(make('option', { value: '', textContent: everything }), ...named);
      select.value = kept;
    };
    options(get('f-category'), say('all_categories'), index.categories, say('no_category'));
    options(get('f-arm'), say('all_arms'), index.arms, '');
  };

  let timer = 0;
  const later = (delay) => {
    clearTimeout(timer);
    search += 1;
    timer = setTimeout(() => refilter().catch(fail), delay);
  };
  const fail = (error) => { get('found').textContent = say('failed', error.message); };
  const start = async () => {
    explorer.before(get('counts'));
    explorer.hidden = false;
    index = await decode('index');
    chosenArms = new Set([0, 1, 2].filter((arm) => arm < index.arms.length));
    fillSelects();
    get('filters').addEventListener('input', (event) => later(event.target.id === 'f-text' ? 150 : 0));
    get('filters').addEventListener('reset', () => later(0));
    get('filters').addEventListener('submit', (event) => event.preventDefault());
    get('page-previous').addEventListener('click', () => turn(-PAGE));
    get('page-next').addEventListener('click', () => turn(PAGE));
    document.querySelector('#items thead').addEventListener('click', (event) => {
      const heading = event.target.closest('th');
      if (!heading) return;
      const ascending = order.column === heading.cellIndex ? !order.ascending : !heading.classList.contains('n');
      order = { column: heading.cellIndex, ascending };
      for (const other of heading.parentNode.cells) other.removeAttribute('aria-sort');
      heading.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
      first = 0;
      list();
    });
    document.addEventListener('language', () => {
      fillSelects();
      list();
      if (dialog.open) draw();
    });
    await refilter();
  };
  start().catch(fail);
})();
