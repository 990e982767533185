"""The profiles that kernels and jobs can have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import KubeHandler, route

if TYPE_CHECKING:
    from ..models import Profile


class ProfilesHandler(KubeHandler):
    """``profiles``."""

    @route
    async def get(self) -> None:
        """List them, and say what is wrong with those that are left out."""
        settings = self.kube
        self.reply(
            {
                "profiles": [shown(profile) for profile in settings.valid_profiles().values()],
                "wrong": {name: str(why) for name, why in settings.wrong_profiles().items()},
            }
        )


def shown(profile: Profile) -> dict[str, Any]:
    """Say of a profile what its users may know: nothing of environment, volumes or nodes (pure)."""
    names = ("name", "display_name", "image", "cpu", "memory", "gpus", "gpu_resource", "options")
    return {name: getattr(profile, name) for name in (*names, "max_per_user", "warm")}
