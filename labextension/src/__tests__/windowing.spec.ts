import { indexFor, spanOf, topFor } from '../sidebar/windowing';

const view = { top: 440, height: 220 };

it('draws the rows to be seen, and some around them', () => {
  expect(spanOf(5000, 44, view)).toEqual({ first: 2, end: 23 });
  expect(spanOf(5000, 44, { top: 0, height: 220 })).toEqual({
    first: 0,
    end: 13
  });
});

it('draws rows also where a list has become shorter than it is scrolled', () => {
  const { first, end } = spanOf(3, 44, { top: 100_000, height: 220 });
  expect(end).toBe(3);
  expect(first).toBeLessThanOrEqual(3);
});

it('scrolls no further than is needed', () => {
  expect(topFor(12, 44, view)).toBe(440); // is to be seen
  expect(topFor(3, 44, view)).toBe(132); // at the top
  expect(topFor(20, 44, view)).toBe(704); // at the bottom
  expect(topFor(0, 44, view)).toBe(0);
});

it.each([
  ['ArrowDown', -1, 0],
  ['ArrowDown', 9, 9],
  ['ArrowUp', -1, 9],
  ['ArrowUp', 0, 0],
  ['PageDown', 2, 6],
  ['PageUp', 2, 0],
  ['Home', 5, 0],
  ['End', 5, 9]
])('%s leads from %i to %i of ten', (key, from, to) => {
  expect(indexFor(key, from, 10, 4)).toBe(to);
});

it('is led nowhere by other keys, and in an empty list', () => {
  expect(indexFor('a', 3, 10, 4)).toBeNull();
  expect(indexFor('ArrowDown', -1, 0, 4)).toBeNull();
});
