"use strict";
(() => {
  const read = (element) => JSON.parse(element.textContent);
  const facts = read(document.getElementById("facts"));
  const rows = [];
  for (const block of document.querySelectorAll("script.rows")) rows.push(...read(block));
  const kinds = facts.kinds.map(([status, code, place, undo, tried, tell, attention, job]) =>
    ({ status, code, place, undo, tried, tell, attention, job }));
  const [LINE, USER, REALM, KIND, ERROR, CELLS] = [0, 1, 2, 3, 4, 5];
  const SHOWN = 100;
  const fold = (text) => (/[^\0-\x7f]/.test(text) ? text.normalize("NFD").replace(/\p{M}/gu, "") : text).toLowerCase();

  // Digits of equal length sort as numbers do; comparing texts is many times as fast as Intl.Collator.
  const sortable = (value) => typeof value === "number" ? value
    : fold(value).replace(/[0-9]+/g, (digits) => digits.padStart(15, "0"));

  const textOf = (row) => {
    const kind = kinds[row[KIND]];
    return fold([row[USER], ...row.slice(CELLS), kind.status, kind.code, row[ERROR]].join("\n"));
  };

  // Texts by which rows are found: made while nobody waits, or when the first search comes.
  const texts = [];
  const makeTexts = (until) => {
    while (texts.length < until) texts.push(textOf(rows[texts.length]));
  };
  const makeSomeTexts = () => {
    makeTexts(Math.min(rows.length, texts.length + 5000));
    if (texts.length < rows.length) setTimeout(makeSomeTexts);
  };

  const COLUMNS = {
    line: { of: (row) => row[LINE], number: true },
    user: { of: (row) => row[USER] },
    realm: { of: (row) => facts.realms[row[REALM]] },
    status: { of: (row) => kinds[row[KIND]].undo || kinds[row[KIND]].status, mark: (row) => kinds[row[KIND]].undo || kinds[row[KIND]].status },
    code: { of: (row) => kinds[row[KIND]].code.replaceAll(";", "; ") },
    error: { of: (row) => row[ERROR] },
    place: { of: (row) => facts.places[kinds[row[KIND]].place], mark: (row) => kinds[row[KIND]].place },
    tried: { of: (row) => facts.tried[kinds[row[KIND]].tried] },
    tell: { of: (row) => kinds[row[KIND]].tell },
    job: { of: (row) => kinds[row[KIND]].job },
  };
  for (let at = 0; at < facts.columns; at += 1) COLUMNS[`cell${at}`] = { of: (row) => row[CELLS + at] };

  const FILTERS = {
    status: (row, value) => kinds[row[KIND]].status === value,
    place: (row, value) => kinds[row[KIND]].place === value,
    tried: (row, value) => kinds[row[KIND]].tried === value,
    code: (row, value) => kinds[row[KIND]].code.split(";").includes(value),
  };

  const browse = (section, own) => {
    const part = (selector) => section.querySelector(selector);
    const find = part("input"), body = part("tbody"), hits = part(".hits"), scroll = part(".scroll");
    const pages = part(".pager span"), buttons = [...section.querySelectorAll(".pager button")];
    const heads = [...section.querySelectorAll("th")];
    const columns = heads.map((head) => ({ head, ...COLUMNS[head.dataset.column] }));
    let found = own, sorted = null, rising = true, from = 0;

    const cellOf = (column, row, at) => {
      const cell = document.createElement(at === 0 ? "th" : "td");
      if (at === 0) cell.scope = "row";
      if (column.number) cell.className = "number";
      const text = String(column.of(row));
      const inner = document.createElement(column.mark ? "span" : "bdi");
      if (column.mark) inner.className = `mark ${column.mark(row)}`;
      inner.textContent = text;
      cell.append(inner);
      return cell;
    };

    const show = () => {
      const shown = found.slice(from, from + SHOWN).map((index) => {
        const line = document.createElement("tr");
        line.append(...columns.map((column, at) => cellOf(column, rows[index], at)));
        return line;
      });
      body.replaceChildren(...shown);
      scroll.scrollTop = 0;
      const last = from + shown.length;
      pages.textContent = shown.length ? `${(from + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${found.length.toLocaleString("en")}` : "nothing found";
      buttons[0].disabled = from === 0;
      buttons[1].disabled = last >= found.length;
    };

    const order = () => {
      if (!sorted) return;
      sorted.keys ??= rows.map((row) => sortable(sorted.of(row)));
      const { keys } = sorted, before = rising ? -1 : 1;
      found.sort((a, b) => keys[a] < keys[b] ? before : keys[a] > keys[b] ? -before : a - b);
    };

    const search = () => {
      const words = fold(find.value).split(/\s+/).filter(Boolean);
      if (words.length) makeTexts(rows.length);
      found = own.slice();
      for (const word of words) found = found.filter((index) => texts[index].includes(word));
      for (const { value, dataset } of section.querySelectorAll("select")) {
        if (value) found = found.filter((index) => FILTERS[dataset.filter](rows[index], value));
      }
      order();
      from = 0;
      show();
      hits.textContent = `${found.length.toLocaleString("en")} of ${own.length.toLocaleString("en")} rows`;
    };

    find.addEventListener("input", search);
    for (const one of section.querySelectorAll("select")) one.addEventListener("change", search);
    for (const button of buttons) {
      button.addEventListener("click", () => { from += SHOWN * Number(button.dataset.step); show(); });
    }
    for (const column of columns) {
      column.head.addEventListener("click", () => {
        rising = sorted === column ? !rising : true;
        sorted = column;
        for (const { head } of columns) head.setAttribute("aria-sort", head === column.head ? (rising ? "ascending" : "descending") : "none");
        order();
        from = 0;
        show();
      });
    }
    search();
    scroll.style.minBlockSize = `${Math.ceil(scroll.getBoundingClientRect().height)}px`;
  };

  const every = [...rows.keys()];
  const views = { attention: every.filter((index) => kinds[rows[index][KIND]].attention), users: every };
  for (const section of document.querySelectorAll(".browser")) {
    if (section.querySelector("table")) browse(section, views[section.dataset.view]);
  }
  document.getElementById("print").addEventListener("click", () => {
    document.body.classList.add("only-sign-off");
    window.print();
  });
  makeSomeTexts();
  window.addEventListener("afterprint", () => document.body.classList.remove("only-sign-off"));
})();
