import { nullTranslator } from '@jupyterlab/translation';

import { amount, offered, problem, range } from '../profile/bounds';
import { profileOf, read, write } from '../profile/choice';
import type { Profile } from '../tokens';

const trans = nullTranslator.load('jupyter_kube');
const GPU = {
  name: 'gpu',
  gpus: 1,
  cpu: '1',
  memory: '16Gi',
  image: 'lab:3',
  options: {
    gpus: { min: 0, max: 4 },
    memory: { max: '64Gi' },
    cpu: { min: '500m' },
    image: ['lab:2']
  }
} as unknown as Profile;
const PLAIN = { ...GPU, name: 'plain', options: {} } as Profile;

describe('bounds', () => {
  it('are those of the profile', () => {
    expect(offered(GPU)).toEqual(['gpus', 'cpu', 'memory', 'image']);
    expect(offered(PLAIN)).toEqual([]);
    expect(range(GPU, 'gpus', trans)).toBe('from 0 to 4');
    expect(range(GPU, 'memory', trans)).toBe('at most 64Gi');
    expect(range(GPU, 'cpu', trans)).toBe('at least 500m');
  });

  it.each([
    ['gpus', '4'],
    ['gpus', '0'],
    ['gpus', ''],
    ['memory', '64Gi'],
    ['memory', '65536Mi'],
    ['memory', '60G'],
    ['cpu', '0.5'],
    ['cpu', '8']
  ] as const)('allow %s %s', (name, value) => {
    expect(problem(GPU, name, value, trans)).toBeNull();
  });

  it.each([
    ['gpus', '5'],
    ['gpus', '1.5'],
    ['gpus', '-1'],
    ['memory', '65Gi'],
    ['memory', 'much'],
    ['cpu', '499m']
  ] as const)('do not allow %s %s', (name, value) => {
    expect(problem(GPU, name, value, trans)).toEqual(expect.any(String));
  });

  it('compare quantities of any unit', () => {
    expect(amount('1Ki')).toBe(1024);
    expect(amount('1k')).toBe(1000);
    expect(amount('1500m')).toBeCloseTo(1.5);
    expect(amount('1Kb')).toBeNull();
  });
});

describe("a notebook's choice", () => {
  it('is written as the server reads it', () => {
    const chosen = { gpus: '2', memory: '32Gi', cpu: '', image: 'lab:3' };
    expect(write({ run: '-w 2' }, GPU, chosen)).toEqual({
      run: '-w 2',
      profile: 'gpu',
      options: { gpus: 2, memory: '32Gi' }
    });
  });

  it('of nothing leaves nothing', () => {
    const entry = { profile: 'gpu', options: { gpus: 2 } };
    expect(write(entry, GPU, { gpus: '1' })).toBeUndefined();
    expect(write({ ...entry, run: '' }, PLAIN, { gpus: '3' })).toEqual({
      run: ''
    });
  });

  it('is read for the profile it is for', () => {
    const entry = { profile: 'gpu', options: { gpus: 2, odd: [] } };
    expect(read(entry, 'gpu')).toEqual({ gpus: '2' });
    expect(read(entry, 'other')).toEqual({});
    expect(read({ options: { memory: '8Gi' } }, 'any')).toEqual({
      memory: '8Gi'
    });
    expect(read(undefined, 'gpu')).toEqual({});
  });

  it('is for kernels of ours', () => {
    expect(profileOf('kube-gpu-small')).toBe('gpu-small');
    expect(profileOf('python3')).toBe('');
    expect(profileOf(undefined)).toBe('');
  });
});
