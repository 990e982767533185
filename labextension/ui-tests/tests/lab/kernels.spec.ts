import { expect, Notebook, test } from '../support/fixtures';

test('a launcher tile starts a kernel that is a pod with a GPU', async ({
  page,
  cluster
}) => {
  await page
    .locator('.jp-LauncherCard[data-category="Notebook"]', {
      hasText: 'One GPU'
    })
    .click();
  const story = new Notebook(page);
  await story.ready();
  await story.cell(0).locator('.cm-content').fill('print(6 * 7)');
  await story.run(0);
  await expect(story.output(0)).toContainText('42');
  const [pod, ...others] = await cluster.kernels();
  expect(others).toEqual([]);
  expect(pod.spec.containers[0].resources.limits['nvidia.com/gpu']).toBe('1');
});

test('an image that cannot be pulled is told where the user looks', async ({
  page,
  openNotebook
}) => {
  const story = await openNotebook('missing', ['print(1)']);
  await expect(page.getByText(/localhost\/missing:1/).first()).toBeVisible();
  await expect(story.output(0)).toBeEmpty();
});
