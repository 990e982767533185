import { LONGEST_LINE, Lines } from '../job/lines';

const made = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({
    rank: (from + index) % 3,
    text: `line ${from + index}`
  }));
const texts = (lines: Lines) =>
  lines.slice(0, lines.length).map(({ text }) => text);

describe('Lines', () => {
  it('keeps the newest ones', () => {
    const lines = new Lines(4);
    expect(lines.push(made(0, 3))).toBe(0);
    expect(lines.push(made(3, 6), 7)).toBe(2);
    expect(texts(lines)).toEqual(['line 2', 'line 3', 'line 4', 'line 5']);
    expect(lines.missing).toBe(9);
  });

  it('keeps no more characters than there is room for', () => {
    const lines = new Lines(100, 20);
    lines.push([{ rank: 0, text: 'x'.repeat(15) }]);
    expect(lines.push([{ rank: 1, text: 'y'.repeat(15) }])).toBe(1);
    expect(lines.length).toBe(1);
  });

  it('keeps nothing of the lines that had to go', () => {
    const lines = new Lines(100, 2000);
    for (let count = 0; count < 50; count++) {
      lines.push([{ rank: 0, text: 'x'.repeat(1000) }]);
    }
    expect(JSON.stringify(lines).length).toBeLessThan(4000);
  });

  it('finds lines of a rank, also among those that come later', () => {
    const lines = new Lines(9);
    lines.push(made(0, 6));
    lines.filter = { rank: 1, text: '' };
    expect(texts(lines)).toEqual(['line 1', 'line 4']);
    expect(lines.push(made(6, 12))).toBe(1);
    expect(texts(lines)).toEqual(['line 4', 'line 7', 'line 10']);
    lines.filter = { rank: null, text: '' };
    expect(lines.length).toBe(9);
  });

  it('finds texts in whatever case', () => {
    const lines = new Lines(9);
    lines.push([
      { rank: 0, text: 'Epoch 1' },
      { rank: 1, text: 'loss' }
    ]);
    lines.filter = { rank: null, text: 'EPOCH' };
    expect(texts(lines)).toEqual(['Epoch 1']);
  });

  it('tells as much after a long time as at first', () => {
    const lines = new Lines(50);
    lines.filter = { rank: 0, text: '' };
    for (let from = 0; from < 3000; from += 30) {
      lines.push(made(from, from + 30));
    }
    const expected = made(2950, 3000).filter(({ rank }) => rank === 0);
    expect(texts(lines)).toEqual(expected.map(({ text }) => text));
  });

  it('shows no control sequences, and the beginning of what is very long', () => {
    const lines = new Lines();
    lines.push([
      { rank: 0, text: '\x1b[31mred\x1b[0m' },
      { rank: 0, text: 'x'.repeat(LONGEST_LINE + 1) }
    ]);
    const [red, long] = texts(lines);
    expect(red).toBe('red');
    expect(long).toBe(`${'x'.repeat(LONGEST_LINE)}…`);
  });

  it('forgets, but not what is looked for', () => {
    const lines = new Lines();
    lines.filter = { rank: 2, text: '' };
    lines.push(made(0, 6), 3);
    lines.clear();
    expect([lines.length, lines.missing]).toEqual([0, 0]);
    lines.push(made(0, 6));
    expect(texts(lines)).toEqual(['line 2', 'line 5']);
  });
});
