"""The engine: skorch's loop over sliced batches. The only folder that imports skorch."""

from sk_autoencoder.training.layerwise import pretrain, split_epochs
from sk_autoencoder.training.net import AutoencoderNet, StopTraining, TrainingPlan
from sk_autoencoder.training.rows import RowDataset, Scaler, dense, resident
from sk_autoencoder.training.schedules import SCHEDULES, Schedule

__all__ = [
    "SCHEDULES",
    "AutoencoderNet",
    "RowDataset",
    "Scaler",
    "Schedule",
    "StopTraining",
    "TrainingPlan",
    "dense",
    "pretrain",
    "resident",
    "split_epochs",
]
