import { STEADY } from '../support/cells';
import { expect, test } from '../support/fixtures';
import { JobTab, Sidebar, answer } from '../support/kube';

test('a cell goes from its button to the cluster and is steered there', async ({
  page,
  cluster,
  openNotebook
}) => {
  const story = await openNotebook('cpu', [STEADY]);
  await story.ready();

  // The form writes the line, and the cell runs.
  await story.cell(0).locator('.cm-content').click();
  await story.cell(0).locator('[data-command="jupyter-kube:run-cell"]').click();
  const form = page.getByRole('dialog');
  await form.getByLabel('Workers', { exact: true }).fill('1:2');
  await form.getByText('More', { exact: true }).click();
  await form.getByLabel('Name', { exact: true }).fill('story');
  await expect(form).toContainText('There is room');
  await form.getByRole('button', { name: 'Run' }).click();
  await expect(story.cell(0).locator('.cm-line').first()).toHaveText(
    '%%kubetrain -w 1:2 --name story'
  );
  await expect(story.output(0)).toContainText('[1] step 1 of rank 1');
  await page.notebook.save();
  const [job, ...others] = await cluster.list('jobs');
  expect(others).toEqual([]);
  const name = job.metadata.name;

  const sidebar = new Sidebar(page);
  await sidebar.open();
  await expect(sidebar.job(name)).toContainText('2 of 2 up');
  await sidebar.job(name).click();
  await sidebar.button('Open').click();
  const tab = new JobTab(page);
  await expect(tab.ranks).toHaveText([/0.*running/, /1.*running/]);
  const before = await tab.curve('loss').getAttribute('aria-label');
  await expect(tab.curve('loss')).not.toHaveAttribute('aria-label', before!);

  // Lines of one rank; then those with a word.
  await tab.rank.selectOption('1');
  await expect(tab.lines).toContainText('[1] step');
  await expect(tab.lines).not.toContainText('[0]');
  await tab.search.fill('STEP 3 of');
  await expect(tab.lines).toHaveText('[1] step 3 of rank 1');
  await tab.search.fill('');
  await tab.rank.selectOption('all');

  await tab.node.getByLabel('Workers at most').fill('3');
  await tab.button('Scale').click();
  await expect(tab.ranks).toHaveText([/running/, /running/, /2.*running/]);
  await expect(tab.lines).toContainText('[2] step');
  expect((await cluster.list('jobs'))[0].spec.completions).toBe(3);

  // It is the same in a tab that is opened anew, and after a reload; nothing is submitted twice.
  await tab.close();
  await expect(tab.node).toHaveCount(0);
  const saved = page.waitForRequest(
    request =>
      request.method() === 'PUT' &&
      request.url().includes('/api/workspaces') &&
      (request.postData() ?? '').includes(name)
  );
  await sidebar.job(name).dblclick();
  await expect(tab.lines).toContainText('[2] step');
  await saved;
  await page.reload();
  await expect(tab.ranks).toHaveText([/running/, /running/, /2.*running/]);
  await expect(tab.curve('loss')).toBeVisible();
  await expect(tab.lines).toContainText('[2] step');
  await expect(sidebar.job(name)).toContainText('3 of 3 up');
  const jobs = await cluster.list('jobs');
  expect(jobs.map(each => each.metadata.uid)).toEqual([job.metadata.uid]);

  // The same once more; that is killed, but not before the user says so.
  await tab.button('Run again').click();
  await expect(tab.node.getByRole('heading')).not.toHaveText(name);
  await expect(tab.node.getByRole('heading')).toContainText('story-');
  const again = (await tab.node.getByRole('heading').textContent())!;
  await expect(tab.ranks.first()).toContainText('running');
  await tab.button('Kill…').click();
  await answer(page, /Kill/, 'Cancel');
  await tab.button('Kill…').click();
  await answer(page, /Kill/, `Kill ${again}?`);
  await expect(sidebar.job(again)).toHaveCount(0);
  const rest = await cluster.list('jobs');
  expect(rest.map(each => each.metadata.name)).toEqual([name]);

  await cluster.finish(name);
  await sidebar.job(name).dblclick();
  await expect(tab.phase).toContainText('done');
});
