import { expect, test } from '../support/fixtures';

const LOAD = '%load_ext jupyter_kube';

test('a cell trains on workers, and its ranks, lines and result show', async ({
  openNotebook
}) => {
  const story = await openNotebook('cpu', [
    LOAD,
    '%%kubetrain python -w 2 --name story -o total\nprint("hello from", kube.rank)\ntotal = 41 + kube.world_size - 1',
    'print("total is", total)'
  ]);
  await story.ready();
  await story.run(0);
  await story.run(1);
  const output = story.output(1);
  await expect(output.getByRole('listitem')).toHaveText([
    /0.*succeeded/,
    /1.*succeeded/
  ]);
  await expect(output).toContainText('[0] hello from 0');
  await expect(output).toContainText('[1] hello from 1');
  await story.run(2);
  await expect(story.output(2)).toContainText('total is 42');
});

test('a rank that fails is told with its rank and its traceback', async ({
  openNotebook
}) => {
  const story = await openNotebook('cpu', [
    LOAD,
    '%%kubetrain python -w 2\nif kube.rank == 1:\n    raise ValueError("no such digit")'
  ]);
  await story.ready();
  await story.run(0);
  await story.run(1);
  const output = story.output(1);
  await expect(output.getByRole('listitem').nth(1)).toContainText('failed');
  await expect(output).toContainText('ValueError');
  await expect(output).toContainText('no such digit');
});

test('what looks like HTML in names, lines and errors stays text', async ({
  page,
  openNotebook
}) => {
  const attack =
    '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>';
  const story = await openNotebook('cpu', [
    LOAD,
    `%%kubetrain python -w 1\nprint('''${attack}''')\nkube.report(**{'''${attack}''': 1.0})\nraise ValueError('''${attack}''')`
  ]);
  await story.ready();
  await story.run(0);
  await story.run(1);
  const output = story.output(1);
  await expect(output.getByText('ValueError').first()).toBeVisible();
  await expect(output).toContainText(`[0] ${attack}`);
  await expect(output.locator('img, script')).toHaveCount(0);
  expect(await page.evaluate(() => (window as any).attacked)).toBeUndefined();
});

test('a reload in the middle of a job submits nothing twice', async ({
  page,
  cluster,
  openNotebook
}) => {
  const story = await openNotebook('cpu', [
    LOAD,
    '%%kubetrain python -w 2 --name long\nimport pathlib, time\nprint("begun")\nwhile not pathlib.Path(kube.output_dir, "go").exists():\n    time.sleep(0.1)\nprint("ended")'
  ]);
  await story.ready();
  await story.run(0);
  await story.run(1);
  await expect(story.output(1)).toContainText('[1] begun');
  const before = await cluster.list('jobs');
  await page.notebook.save();
  await page.reload();
  await expect(story.output(1)).toContainText('[1] begun');
  await expect(story.output(1)).toContainText('running');
  const after = await cluster.list('jobs');
  expect(after.map(job => job.metadata.uid)).toEqual(
    before.map(job => job.metadata.uid)
  );
});
