import { isOf } from '../owner';
import type { Kernel } from '../tokens';

function kernel(notebook: string): Kernel {
  return { id: 'k', notebook } as Kernel;
}

const STARTING = '61322ea7-032e-43ec-828d-95c156cd44b8';

describe('a kernel is a notebook’s', () => {
  it.each([
    ['by its id, whatever its path', 'elsewhere.ipynb', 'k', 'a/n.ipynb', true],
    ['by its path before', 'a/n.ipynb', undefined, 'a/n.ipynb', true],
    ['while it starts', `a/${STARTING}`, undefined, 'a/n.ipynb', true],
    ['also at the top', STARTING, undefined, 'n.ipynb', true],
    ['not in another folder', `b/${STARTING}`, undefined, 'a/n.ipynb', false],
    ['not of another id', `a/${STARTING}`, 'other', 'a/n.ipynb', false],
    ['not by its folder alone', 'a/m.ipynb', undefined, 'a/n.ipynb', false]
  ])('%s', (_, told, id, path, expected) => {
    expect(isOf(kernel(told), id, path)).toBe(expected);
  });
});
