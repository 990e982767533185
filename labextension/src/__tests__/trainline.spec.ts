import { nullTranslator } from '@jupyterlab/translation';

import { check } from '../run/check';
import { LineError, parse, print, putAbove, takeApart } from '../run/line';
import { ITrainOptions, PLAIN } from '../run/options';
import { recall, remember } from '../run/remember';
import { join, split } from '../run/words';
// tests/test_magicline_forms.py holds the magic's own parser to the same lines
import lines from './trainlines.json';

const trans = nullTranslator.load('jupyter_kube');
const GOOD = lines.good.map(({ line, options }): [string, ITrainOptions] => [
  line,
  { ...PLAIN, ...options }
]);

describe('the line of %%kubetrain', () => {
  it.each(GOOD)('%s is read', (line, options) => {
    expect(parse(line)).toEqual(options);
  });

  it.each(lines.good)(
    '$line is written as $written',
    ({ written, options }) => {
      expect(print({ ...PLAIN, ...options })).toBe(`%%kubetrain ${written}`);
      expect(parse(written)).toEqual({ ...PLAIN, ...options });
    }
  );

  it.each(lines.unreadable)('%s cannot be read', line => {
    expect(() => parse(line)).toThrow(LineError);
  });
});

describe('what the form refuses', () => {
  it.each(lines.refused)('$line for its $key', ({ line, key }) => {
    expect(Object.keys(check(parse(line), trans))).toEqual([key]);
  });

  it.each(lines.good.filter(({ wish }) => wish !== false))(
    'nothing of $line',
    ({ line }) => {
      expect(check(parse(line), trans)).toEqual({});
    }
  );
});

describe('a cell', () => {
  it('gets the line above', () => {
    expect(putAbove('x = 1\ny = 2', { ...PLAIN, workers: '2' })).toBe(
      '%%kubetrain -w 2\nx = 1\ny = 2'
    );
  });

  it('has its line replaced', () => {
    const source = '\n  \n%%kubetrain tensorflow -w 4 \nx = 1\n';
    expect(takeApart(source)).toEqual({
      line: 'tensorflow -w 4',
      magic: '',
      body: 'x = 1\n'
    });
    expect(putAbove(source, PLAIN)).toBe('%%kubetrain -w 1\nx = 1\n');
  });

  it('of the line only has no body', () => {
    expect(takeApart('%%kubetrain').line).toBe('');
    expect(takeApart('%%kubetrain').body).toBe('');
  });

  it('may have another magic', () => {
    expect(takeApart('%%time\nx').magic).toBe('%%time');
    expect(takeApart('%%kubetrains\nx').magic).toBe('%%kubetrains');
    expect(takeApart('x\n%%kubetrain').line).toBeNull();
  });
});

describe("a notebook's last choice", () => {
  const chosen = {
    ...PLAIN,
    framework: 'pytorch',
    workers: '2:4',
    output: 'history',
    name: 'one'
  };

  it('is remembered without what is one cell’s', () => {
    const entry = remember({ options: { gpus: 2 } }, chosen);
    expect(entry).toEqual({ options: { gpus: 2 }, run: 'pytorch -w 2:4' });
    expect(recall(entry)).toEqual({
      ...PLAIN,
      framework: 'pytorch',
      workers: '2:4'
    });
  });

  it.each([undefined, null, 'x', [], { run: 1 }, { run: '--wrong' }])(
    'that is %j is none',
    entry => {
      expect(recall(entry as never)).toEqual(PLAIN);
    }
  );
});

describe('words', () => {
  it.each([
    [['a', 'b c', '', `it's`, `"q"`, '\\', 'größe', 'a\tb', `'"\\ $x`]],
    [['%x', '@=+:,./-', '*', '#', '~']]
  ])('survive: %j', words => {
    expect(split(join(words))).toEqual(words);
  });

  it.each(['"open', "'open", 'x\\'])('of %s are none', line => {
    expect(split(line)).toBeNull();
  });
});
