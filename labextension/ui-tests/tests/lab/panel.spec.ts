import { expect, test } from '../support/fixtures';
import { STEADY } from '../support/cells';

test('the panel runs a cell, shows and steers its job, also after a reload', async ({
  page,
  cluster,
  openNotebook
}) => {
  const story = await openNotebook('cpu', [
    '%load_ext jupyter_kube',
    'print("from above")',
    `%%kube panel\n${STEADY}`
  ]);
  await story.ready();
  for (const index of [0, 1, 2]) {
    await story.run(index);
  }
  const panel = story.output(2);
  const cell = panel.getByLabel('Cell', { exact: true });
  await expect(panel.getByLabel('Code')).toHaveValue(STEADY);
  await cell.selectOption('the one above');
  await expect(panel.getByLabel('Code')).toHaveValue('print("from above")');
  await cell.selectOption('this one');
  await panel.getByLabel('Workers', { exact: true }).fill('1:2');
  await panel.getByLabel('Workers', { exact: true }).press('Enter');
  await expect(panel).toContainText('%%kubetrain -w 1:2');
  await expect(panel).toContainText('There is room');
  await panel.getByRole('button', { name: 'Run on cluster' }).click();

  const ranks = panel.getByRole('listitem');
  await expect(ranks).toHaveText([/0.*running/, /1.*running/]);
  await expect(panel).toContainText('[1] step 1 of rank 1');
  const [job, ...others] = await cluster.list('jobs');
  expect(others).toEqual([]);

  // A slider has no name in ipywidgets; the field beside it has.
  await panel.getByRole('slider').press('ArrowRight');
  await expect(panel.getByLabel('Workers at most')).toHaveValue('3');
  await panel.getByRole('button', { name: 'Scale' }).click();
  await expect(ranks).toHaveText([/running/, /running/, /2.*running/]);

  await page.notebook.save();
  await page.reload();
  await expect(ranks).toHaveText([/running/, /running/, /2.*running/]);
  await panel.getByLabel('Search').fill('of rank 2');
  await expect(panel).toContainText(/\[2\] step \d+ of rank 2/);
  const jobs = await cluster.list('jobs');
  expect(jobs.map(each => each.metadata.uid)).toEqual([job.metadata.uid]);

  await panel.getByRole('button', { name: 'Kill…' }).click();
  await panel.getByRole('button', { name: 'Keep it' }).click();
  await panel.getByRole('button', { name: 'Kill…' }).click();
  await panel.getByRole('button', { name: 'Kill and remove it' }).click();
  await expect.poll(() => cluster.list('jobs')).toEqual([]);
  await expect(panel).toContainText('stopped');
});
