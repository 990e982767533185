import { expect, test } from '../support/fixtures';

test('a launcher tile starts a kernel that is a pod with a GPU', async ({
  page,
  cluster,
  notebook: story
}) => {
  await page
    .locator('.jp-LauncherCard[data-category="Notebook"]', {
      hasText: 'One GPU'
    })
    .click();
  await story.ready();
  await story.write(0, 'print(6 * 7)');
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
  // A dialog, or the status bar while Kubernetes tries again.
  await expect(
    page.getByText(/the image localhost\/missing:1 cannot be/).first()
  ).toBeVisible();
  await expect(story.output(0)).toBeEmpty();
});
