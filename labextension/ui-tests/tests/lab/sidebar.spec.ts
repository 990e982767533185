import { expect, test } from '../support/fixtures';
import { Sidebar, answer, notices } from '../support/kube';

test('kernels are started, interrupted, restarted and stopped from the sidebar', async ({
  page,
  cluster,
  notebook: story
}) => {
  const sidebar = new Sidebar(page);
  await sidebar.open();
  await expect(sidebar.cluster).toContainText('Reachable');
  await expect(sidebar.cluster).toContainText(cluster.namespace);
  await expect(sidebar.node).toContainText('None. Start one by New kernel');
  const free = /(\d+) of \d+ free/;
  const words = () => sidebar.cluster.textContent();
  await expect(sidebar.cluster).toContainText(free);
  const before = Number(free.exec((await words())!)![1]);

  await sidebar.newKernel('One GPU');
  const row = sidebar.kernel(/Untitled\d*\.ipynb/);
  await expect(row).toContainText('running · idle');
  await expect(row).toContainText('gpu · 1 GPU');
  await expect(sidebar.cluster).toContainText(`${before - 1} of`);
  await expect(sidebar.cluster.getByRole('listitem')).toContainText(
    /^1 · .*Untitled\d*\.ipynb$/
  );

  await story.ready();
  await story.write(0, 'x = 1\nimport time\nprint("begun")\ntime.sleep(600)');
  await story.run(0);
  await expect(story.output(0)).toContainText('begun');
  await expect(row).toContainText('busy');
  await row.click();
  await sidebar.button('Interrupt').click();
  await expect(story.output(0)).toContainText('KeyboardInterrupt');
  await expect(row).toContainText('idle');

  const [pod] = await cluster.kernels();
  await sidebar.button('Restart…').click();
  await answer(page, /Restart this kernel/, 'Cancel');
  await sidebar.button('Restart…').click();
  await answer(page, /Restart this kernel/, 'Restart this kernel?');
  await story.write(0, 'print("x" in globals())');
  await story.runUntil(0, 'False');
  const [after] = await cluster.kernels();
  expect(after.metadata.uid).toBe(pod.metadata.uid);

  await sidebar.button('Stop…').click();
  await answer(page, /Stop this kernel/, 'Stop this kernel?');
  await expect(row).toHaveCount(0);
  await expect(sidebar.cluster).toContainText(`${before} of`);
  await expect.poll(() => cluster.kernels()).toEqual([]);
  await expect(notices(page)).toHaveCount(0);
});

test('the sidebar is worked with the keyboard alone', async ({
  page,
  openNotebook
}) => {
  const story = await openNotebook('cpu', ['1']);
  await story.ready();
  await page.locator('.lm-TabBar-addButton:visible').click();
  const sidebar = new Sidebar(page);
  await sidebar.open();
  await expect(sidebar.kernel('story.ipynb')).toContainText('idle');

  await sidebar.button('New kernel').focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('menuitem', { name: 'One GPU' })).toBeVisible();
  await page.keyboard.press('Escape');

  await sidebar.button('New kernel').focus();
  const list = sidebar.node.getByRole('listbox', { name: 'My kernels' });
  await expect(async () => {
    await page.keyboard.press('Tab');
    expect(await list.evaluate(is => is === document.activeElement)).toBe(true);
  }).toPass({ intervals: [0] });
  await page.keyboard.press('ArrowDown');
  await expect(sidebar.kernel('story.ipynb')).toHaveAttribute(
    'aria-selected',
    'true'
  );
  for (const name of ['Open', 'Interrupt', 'Restart…', 'Stop…']) {
    await page.keyboard.press('Tab');
    await expect(sidebar.button(name)).toBeFocused();
  }
  await page.keyboard.press('Enter');
  await expect(page.getByRole('dialog')).toContainText('Stop this kernel?');
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);

  await list.focus();
  await page.keyboard.press('Enter');
  await expect(story.cell(0)).toBeVisible();
});

test('a kernel that waits says for what, wherever one looks', async ({
  page,
  cluster,
  openNotebook
}) => {
  await openNotebook('gpu', ['1'], {
    metadata: { jupyter_kube: { options: { gpus: 99 } } }
  });
  const sidebar = new Sidebar(page);
  await sidebar.open();
  const row = sidebar.kernel('story.ipynb');
  await expect(row).toContainText('waiting');
  await expect(row).toContainText('Insufficient nvidia.com/gpu');
  await expect(page.locator('#jp-main-statusbar')).toContainText(
    'Insufficient nvidia.com/gpu'
  );
  await row.click();
  await sidebar.button('Stop…').click();
  await answer(page, /Stop this kernel/, 'Stop this kernel?');
  await expect(row).toHaveCount(0);
  await expect.poll(() => cluster.kernels()).toEqual([]);
});
