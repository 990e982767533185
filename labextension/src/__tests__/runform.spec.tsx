import { nullTranslator } from '@jupyterlab/translation';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { act, fireEvent, screen } from '@testing-library/react';

import { FormBody } from '../dialog';
import { ProfileForm } from '../profile/form';
import type { IAsked } from '../run/fit';
import { RunForm } from '../run/form';
import { PLAIN } from '../run/options';
import type { Fit, Profile } from '../tokens';

const trans = nullTranslator.load('jupyter_kube');
const PROFILES = [
  {
    name: 'gpu',
    display_name: 'One GPU',
    cpu: '1',
    memory: '16Gi',
    gpus: 1,
    image: 'lab:3',
    options: { gpus: { max: 2 }, image: ['lab:2'] }
  },
  {
    name: 'plain',
    display_name: '',
    cpu: '1',
    memory: '2Gi',
    gpus: 0,
    image: 'lab:3',
    options: {}
  }
] as unknown as Profile[];

let shown: FormBody<unknown>;

function show<T extends FormBody<unknown>>(form: T): T {
  shown = form;
  act(() => {
    Widget.attach(form, document.body);
    MessageLoop.flush();
  });
  return form;
}

afterEach(() => {
  act(() => shown.dispose());
});

/** Fill in a field, and draw. */
function type(label: string, value: string): void {
  act(() => {
    fireEvent.change(screen.getByLabelText(label), { target: { value } });
    MessageLoop.flush();
  });
}

/** Try to accept the form, and draw. */
function refuse(form: FormBody<unknown>): void {
  act(() => {
    form.showWrong();
    MessageLoop.flush();
  });
}

const ROOM: Fit = { fits: 2, wanted: 4, why: 'GPUs: 2 of 4 are free.' };

function runForm(
  more: Partial<RunForm.IOptions> = {},
  fit: RunForm.IOptions['fit'] = async () => ROOM
): RunForm {
  return show(
    new RunForm({
      options: { ...PLAIN },
      profiles: PROFILES,
      kernelsProfile: 'gpu',
      notice: '',
      fit,
      trans,
      ...more
    })
  );
}

describe('RunForm', () => {
  it('begins with what it is given, and gives what was typed', async () => {
    const form = runForm({ options: { ...PLAIN, framework: 'paddle' } });
    type('Workers', ' 4 ');
    type('Outputs', 'history');
    type('Packages to install first', 'einops  mlflow>=2 ');
    act(() => {
      fireEvent.click(screen.getByLabelText(/Submit only/));
      MessageLoop.flush();
    });
    expect(form.isWrong).toBe(false);
    expect(form.getValue()).toEqual({
      ...PLAIN,
      framework: 'paddle',
      workers: '4',
      output: 'history',
      pip: ['einops', 'mlflow>=2'],
      detach: true
    });
  });

  it('names what is wrong at its field, and leads there', async () => {
    const form = runForm();
    type('Workers', '4:2');
    const field = screen.getByLabelText('Workers');
    expect(field.getAttribute('aria-invalid')).toBe('true');
    const words = document.getElementById(
      field.getAttribute('aria-describedby')!
    );
    expect(words!.textContent).toContain('smaller number first');
    expect(form.isWrong).toBe(true);
    refuse(form);
    expect(document.activeElement).toBe(field);
    expect(screen.getByText(/Nothing was run/)).toBeTruthy();
  });

  it('opens what is seldom needed if something is wrong there', async () => {
    const form = runForm();
    type('Name', 'NOT');
    refuse(form);
    const field = screen.getByLabelText('Name');
    expect(field.closest('details')!.open).toBe(true);
    expect(document.activeElement).toBe(field);
  });

  it('opens it also for what is ticked there', async () => {
    const form = runForm({
      options: { ...PLAIN, framework: 'pytorch', chief: true }
    });
    refuse(form);
    expect(document.querySelector('details')!.open).toBe(true);
    expect(document.activeElement).toBe(
      screen.getByLabelText(/leads the work/)
    );
  });

  it('shows what is seldom needed if some of it is chosen', async () => {
    runForm({ options: { ...PLAIN, pip: ['einops'] } });
    expect(document.querySelector('details')!.open).toBe(true);
  });

  it('hides it otherwise', async () => {
    runForm({ options: { ...PLAIN, workers: '4' } });
    expect(document.querySelector('details')!.open).toBe(false);
  });

  it("keeps to the bounds of the kernel's profile", async () => {
    const form = runForm();
    type('GPUs for each worker', '3');
    expect(form.isWrong).toBe(true);
    type('Profile', 'plain');
    expect(form.isWrong).toBe(false);
  });

  it('says whether it will fit, for the newest question only', async () => {
    jest.useFakeTimers();
    const answers: ((found: Fit) => void)[] = [];
    const asked: unknown[] = [];
    runForm({}, size => {
      asked.push(size);
      return new Promise(resolve => answers.push(resolve));
    });
    act(() => jest.runAllTimers());
    type('Workers', '2:4');
    act(() => jest.runAllTimers());
    expect(asked).toHaveLength(2);
    expect(asked[1]).toEqual({
      profile: 'gpu',
      workers: 4,
      gpus: '',
      cpu: '',
      memory: ''
    });
    await act(async () => {
      answers[1](ROOM);
      answers[0]({ fits: 1, wanted: 1, why: 'old' });
    });
    expect(
      screen.getByText('Room for 2 of 4 workers now. GPUs: 2 of 4 are free.')
    ).toBeTruthy();
    expect(screen.queryByText('old')).toBeNull();
    jest.useRealTimers();
  });

  it('asks anew whether it fits for each part of its size', async () => {
    jest.useFakeTimers();
    const asked: IAsked[] = [];
    runForm({ kernelsProfile: 'plain' }, async size => {
      asked.push(size);
      return ROOM;
    });
    type('Memory for each worker', '500Gi');
    await act(async () => jest.runAllTimers());
    type('Processors for each worker', 'many');
    await act(async () => jest.runAllTimers());
    type('Processors for each worker', '64');
    await act(async () => jest.runAllTimers());
    expect(asked.map(({ cpu, memory }) => [cpu, memory])).toEqual([
      ['', '500Gi'],
      ['64', '500Gi']
    ]);
    jest.useRealTimers();
  });

  it('shows texts as texts', async () => {
    runForm({ notice: '<img src=x onerror=alert(1)>' });
    expect(screen.getByText('<img src=x onerror=alert(1)>')).toBeTruthy();
    expect(document.querySelector('img')).toBeNull();
  });
});

describe('ProfileForm', () => {
  const profileForm = () =>
    show(
      new ProfileForm({
        profiles: PROFILES,
        profile: PROFILES[0],
        chosenFor: name => (name === 'gpu' ? { gpus: '2' } : {}),
        warning: 'Variables are lost.',
        trans
      })
    );

  it('offers what the profile leaves to its users', async () => {
    const form = profileForm();
    const gpus = screen.getByLabelText('GPUs, at most 2') as HTMLInputElement;
    expect(gpus.value).toBe('2');
    type('Image', 'lab:2');
    expect(form.getValue()).toEqual({
      profile: 'gpu',
      chosen: { gpus: '2', image: 'lab:2' }
    });
    expect(screen.queryByLabelText('Memory')).toBeNull();
  });

  it('refuses what is out of bounds, at its field', async () => {
    const form = profileForm();
    type('GPUs, at most 2', '3');
    expect(form.isWrong).toBe(true);
    expect(screen.getByText('The profile allows at most 2.')).toBeTruthy();
  });

  it('gives what was typed without the blanks around it', async () => {
    const form = profileForm();
    type('GPUs, at most 2', ' ');
    expect(form.isWrong).toBe(false);
    expect(form.getValue().chosen).toEqual({ gpus: '' });
    type('GPUs, at most 2', ' 1 ');
    expect(form.getValue().chosen).toEqual({ gpus: '1' });
  });

  it('asks anew for another profile', async () => {
    const form = profileForm();
    type('Profile', 'plain');
    expect(form.getValue()).toEqual({ profile: 'plain', chosen: {} });
    expect(screen.getByText(/leaves nothing else/)).toBeTruthy();
  });
});
