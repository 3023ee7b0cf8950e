/** The page as written: what trust.md row 19 and 23 forbid is not in it, and no file is too long to read. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const STATIC = new URL('../../static/', import.meta.url);
const FILES = readdirSync(STATIC);
/** @param {string} file */
const read = (file) => readFileSync(new URL(file, STATIC), 'utf8');

const FORBIDDEN = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\b|new Function/;
const KEEPS = /localStorage|sessionStorage|indexedDB|document\.cookie|caches\./;

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
  test(`${file} writes text, never markup`, () => {
    assert.doesNotMatch(read(file), FORBIDDEN);
  });

  if (file !== 'wayback.js') test(`${file} keeps nothing`, () => assert.doesNotMatch(read(file), KEEPS));
}

test('the way back into the call is kept in this tab alone, and in no address', () => {
  const source = read('wayback.js');
  assert.doesNotMatch(source, /localStorage|indexedDB|document\.cookie|caches\.|\blocation\b|\bhistory\b/);
  assert.equal(source.match(/setItem\(/g)?.length, 1);
});

for (const file of ['call.js', 'rtvi.js', 'transcript.js', 'problems.js', 'sight.js', 'path.js', 'post.js', 'cost.js', 'notices.js']) {
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
