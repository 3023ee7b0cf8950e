/** The page as written: what trust.md row 19 and 23 forbid is not in it, and no file is too long to read. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const STATIC = new URL('../../static/', import.meta.url);
const FILES = readdirSync(STATIC);
/** @param {string} file */
const read = (file) => readFileSync(new URL(file, STATIC), 'utf8');

const FORBIDDEN = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\b|new Function|localStorage|sessionStorage/;

for (const file of FILES) {
  test(`${file} fits on few screens`, () => {
    assert.ok(read(file).split('\n').length <= 301);
  });

  test(`${file} asks no third party for anything`, () => {
    const addresses = read(file).match(/(https?:)?\/\/[a-z0-9.-]+\.[a-z]{2,}\S*/gi) ?? [];
    assert.deepEqual(addresses.filter((address) => !address.startsWith('http://www.w3.org/2000/svg')), []);
  });
}

for (const file of FILES.filter((name) => name.endsWith('.js'))) {
  test(`${file} writes text, never markup, and keeps nothing`, () => {
    assert.doesNotMatch(read(file), FORBIDDEN);
  });
}

for (const file of ['call.js', 'rtvi.js', 'transcript.js', 'problems.js', 'sight.js']) {
  test(`${file} knows no DOM and no clock`, () => {
    assert.doesNotMatch(read(file), /\b(document|window|navigator|fetch|setTimeout|performance)\b\s*[.(]|Date\.now/);
  });
}

test('the page has no inline script, style or handler', () => {
  const page = read('index.html');
  assert.doesNotMatch(page, /<style|\sstyle=|\son[a-z]+=|javascript:/i);
  assert.deepEqual(page.match(/<script[^>]*>/g), ['<script type="module" src="main.js">']);
});

test('every file the page asks for is there', () => {
  const asked = [...read('index.html').matchAll(/(?:src|href)="([^"#]+)"/g)].map((match) => match[1] ?? '');
  for (const file of FILES.filter((name) => name.endsWith('.js'))) {
    asked.push(...[...read(file).matchAll(/from '\.\/([^']+)'/g)].map((match) => match[1] ?? ''));
  }
  for (const file of asked) assert.ok(FILES.includes(file), file);
});
