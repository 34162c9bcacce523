"""Pictures of what training and analysis return.

Every function draws a table, or what else another function returned, and gives back the matplotlib
Axes, or an array of them where there are several panels. Given a path, it writes a png as well:

    kg.plotting.volcano(statistics)                 # as the last line of a cell, it is shown
    kg.plotting.volcano(statistics, "volcano.png")  # and written
    axes = kg.plotting.volcano(statistics)
    axes.axvline(0.01)                              # yours to add to; axes.figure is the figure

A notebook shows a picture where it is the last line of a cell, with no `%matplotlib inline`;
elsewhere in a cell `display(axes)` does. The figures belong to no pyplot: no backend is chosen, no
global style changed and nothing has to be closed, so it is safe in servers and threads too.

Pictures are 5 inches wide with 9 point text: on a phone 360 pixels wide the text is 9 pixels high.
Colours are Paul Tol's "muted" scheme, which people with the common colour-vision deficiencies can
tell apart; markers differ as well where there are more classes than colours.

matplotlib comes with the extra `plot` and is imported at the first picture.
"""

from keras_geneformer.plotting.attention import (
    attention_by_rank,
    attention_spread,
    head_map,
    rank_matched_heads,
)
from keras_geneformer.plotting.attention_weights import attention_matrix, gene_attention
from keras_geneformer.plotting.cell_lengths import cell_lengths
from keras_geneformer.plotting.cell_maps import (
    embedding_map,
    truth_and_prediction,
    umap_coordinates,
)
from keras_geneformer.plotting.changes import change_bars
from keras_geneformer.plotting.class_curves import precision_recall_curves, roc_curves
from keras_geneformer.plotting.class_labels import label_confidence
from keras_geneformer.plotting.class_scores import class_recall
from keras_geneformer.plotting.confusion import confusion_matrix
from keras_geneformer.plotting.cosines import cosine_matrix
from keras_geneformer.plotting.effects import perturbation_effects
from keras_geneformer.plotting.enrichment import gene_set_bars
from keras_geneformer.plotting.gene_effect_heatmap import gene_effect_heatmap
from keras_geneformer.plotting.gene_folds import fold_roc_curves, score_distribution
from keras_geneformer.plotting.genes import gene_bars
from keras_geneformer.plotting.learning import learning_curves
from keras_geneformer.plotting.losses import loss_curve
from keras_geneformer.plotting.measures import measure_table
from keras_geneformer.plotting.methods import comparison_bars, fold_scores
from keras_geneformer.plotting.models import model_summary
from keras_geneformer.plotting.networks import module_matrix, network_map
from keras_geneformer.plotting.rank_encoding import rank_value_encoding
from keras_geneformer.plotting.ranked_genes import ranked_genes
from keras_geneformer.plotting.reliability import reliability_diagram
from keras_geneformer.plotting.round_trips import round_trip
from keras_geneformer.plotting.searches import search_history
from keras_geneformer.plotting.smaller_models import pruned_blocks, teacher_and_student
from keras_geneformer.plotting.state_arrows import gene_arrows, state_arrows
from keras_geneformer.plotting.values import predicted_values
from keras_geneformer.plotting.volcano import volcano

__all__ = [
    "attention_by_rank",
    "attention_matrix",
    "attention_spread",
    "cell_lengths",
    "change_bars",
    "class_recall",
    "comparison_bars",
    "confusion_matrix",
    "cosine_matrix",
    "embedding_map",
    "fold_roc_curves",
    "fold_scores",
    "gene_arrows",
    "gene_attention",
    "gene_bars",
    "gene_effect_heatmap",
    "gene_set_bars",
    "head_map",
    "label_confidence",
    "learning_curves",
    "loss_curve",
    "measure_table",
    "model_summary",
    "module_matrix",
    "network_map",
    "perturbation_effects",
    "precision_recall_curves",
    "predicted_values",
    "pruned_blocks",
    "rank_matched_heads",
    "rank_value_encoding",
    "ranked_genes",
    "reliability_diagram",
    "roc_curves",
    "round_trip",
    "score_distribution",
    "search_history",
    "state_arrows",
    "teacher_and_student",
    "truth_and_prediction",
    "umap_coordinates",
    "volcano",
]
