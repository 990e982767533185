import { expect, test } from '../support/fixtures';

const CODE = 'print("trained by", kube.rank)';

test('the cell runs whose button it was, wherever the user goes meanwhile', async ({
  page,
  openNotebook
}) => {
  const story = await openNotebook('cpu', [CODE, 'print("not this one")']);
  await story.ready();
  let answer = () => {};
  const gone = new Promise<void>(resolve => {
    answer = resolve;
  });
  await page.route(/\/profiles(\?|$)/, async route => {
    await gone;
    await route.continue();
  });
  await story.cell(0).locator('.cm-content').click();
  const asked = page.waitForRequest(/\/profiles(\?|$)/);
  await story.cell(0).locator('[data-command="jupyter-kube:run-cell"]').click();
  await asked;
  await story.cell(1).locator('.cm-content').click();
  await expect(story.cell(1)).toHaveClass(/jp-mod-active/);
  answer();
  const form = page.getByRole('dialog');
  await form.getByRole('button', { name: 'Run' }).click();
  await expect(story.output(0)).toContainText('[0] trained by 0');
  await expect(story.cell(0).locator('.cm-line').first()).toHaveText(
    '%%kubetrain -w 1'
  );
  await expect(story.cell(1).locator('.cm-line').first()).toHaveText(
    'print("not this one")'
  );
  await expect(story.output(1)).toBeEmpty();
});

test('a notebook whose kernel was shut down gets one, with the magics', async ({
  page,
  cluster,
  openNotebook
}) => {
  const story = await openNotebook('cpu', [CODE]);
  await story.ready();
  await page.menu.clickMenuItem('Kernel>Shut Down Kernel');
  await expect.poll(() => cluster.kernels()).toEqual([]);
  await expect(
    page.locator('.jp-NotebookPanel:visible .jp-Toolbar-kernelName')
  ).toContainText('No Kernel');
  await story.cell(0).locator('.cm-content').click();
  await story.cell(0).locator('[data-command="jupyter-kube:run-cell"]').click();
  const form = page.getByRole('dialog');
  await form.getByRole('button', { name: 'Run' }).click();
  await expect(story.output(0)).toContainText('[0] trained by 0');
  expect(await cluster.kernels()).toHaveLength(1);
});
