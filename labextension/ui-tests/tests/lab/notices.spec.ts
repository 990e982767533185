import { FAILING } from '../support/cells';
import { expect, test } from '../support/fixtures';
import { JobTab, Sidebar, notices, said } from '../support/kube';

test('a job that ends is told of where it is not seen, and says why it failed', async ({
  page,
  cluster,
  openNotebook
}) => {
  const story = await openNotebook('cpu', [
    '%load_ext jupyter_kube',
    '%%kubetrain python -w 1 --name good --detach\nprint("fine")',
    `%%kubetrain python -w 2 --name bad --detach --retries 0\n${FAILING}`
  ]);
  await story.ready();
  // Once the page is told that the kernel runs, it has said so, or it does not: it is in view.
  const sidebar = new Sidebar(page);
  await sidebar.open();
  await expect(sidebar.kernel('story.ipynb')).toContainText('running');
  expect(await said(page)).toEqual([]);
  await story.run(0);
  await story.run(1);
  const good = notices(page).filter({ hasText: /Job good-\w+ is done/ });
  await good.getByRole('button', { name: 'Open' }).click();
  const tab = new JobTab(page);
  await expect(tab.phase).toContainText('done');
  await expect(tab.lines).toContainText('[0] fine');

  await page.activity.activateTab('story.ipynb');
  await story.run(2);
  const row = sidebar.job('bad');
  await expect(row).toContainText('2 of 2 up');
  await row.dblclick();
  await expect(tab.lines).toContainText('[1] begun');
  const name = (await tab.node.getByRole('heading').textContent())!;
  await cluster.finish(name);
  await expect(tab.ranks.nth(1)).toContainText('failed');
  await expect(tab.phase).toContainText('failed');
  await expect(tab.why).toContainText('ValueError: no such digit');
  await tab.why.getByText('Traceback of rank 1').click();
  await expect(tab.why).toContainText('raise ValueError("no such digit")');
  await sidebar.button('Why?').click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText('ValueError: no such digit');
  await dialog.getByRole('button', { name: 'Close' }).click();
  const all = await said(page);
  expect(all.filter(each => !/^Job good-\w+ is done/.test(each))).toEqual([]);
});
