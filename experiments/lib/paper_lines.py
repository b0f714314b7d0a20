"""The experiments of the Grad-CAM paper and of Grad-CAM++: published figures, and where the measured ones are."""

from __future__ import annotations

from typing import Final

from experiments.lib.diagnosis_lines import DIAGNOSED
from experiments.lib.measured import (
    ablated,
    cell,
    dropped,
    listed,
    named,
    of_backbones,
    of_networks,
    rated,
    rows,
    studied,
)
from experiments.lib.paper_line import Line

PAPERS: Final = ("gradcam", "c_mwp", "gradient", "guided_backprop")
POINTING: Final = ("gradcam", "c_mwp", "guided_gradcam", "(centre)")
FAITHFUL: Final = ("guided_gradcam", "gradcam", "c_mwp", "guided_backprop")
VQA: Final = ("gradcam", "guided_backprop")
SEGMENTED: Final = (
    "seeds of CAM", "SEC from seeds of CAM", "seeds of Grad-CAM", "SEC from seeds of Grad-CAM", "exact masks",
)  # fmt: skip

LINES: Final = (
    Line(
        "4.1 localisation",
        "weakly supervised localisation, ILSVRC-15, top-1 error %",
        "python -m experiments.paper.localisation --data ilsvrc --root DIR --network vgg16=FILE",
        "VGG-16: gradcam 56.51, c_mwp ~70.92, backprop ~61.12; CAM 57.20; AlexNet: gradcam 68.3; GoogLeNet: 60.09",
        ("localisation-vignettes", "localisation-real"),
        lambda: listed("localisation-vignettes", "localisation top-1", PAPERS),
        lambda: of_networks("localisation-real", "localisation top-1", PAPERS),
        "ILSVRC validation; weights of torchvision's VGG-16, AlexNet, GoogLeNet, ResNet-50",
    ),
    Line(
        "4.2 segmentation",
        "weakly supervised segmentation by SEC, mIoU %",
        "mmcam segment VOCdevkit/VOC2012 --model module:factory --test VOCdevkit/VOC2012 --field dense",
        "after SEC's training on VOC12: seeds of gradcam 49.6, of CAM 44.6",
        ("segmentation", "seeds"),
        lambda: "; ".join(f"{masks} {cell('segmentation', 'miou', masks=masks)}" for masks in SEGMENTED),
        None,
        "VOC12 with the list trainaug of Hariharan et al.; VGG-16 finetuned on its labels",
    ),
    Line(
        "4.3 pointing game",
        "pointing game, VOC07 and COCO, all / difficult, and with rejection %",
        "python -m experiments.paper.pointing_game --data voc --root VOCdevkit/VOC2007 --network vgg16=FILE",
        "with rejection: gradcam 70.58, c_mwp 60.30; TorchRay, VGG-16, VOC07: gradcam 86.6 / 74.0, c_mwp 79.9 / 66.5",
        ("pointing-game-vignettes", "pointing-game-coco"),
        lambda: listed("pointing-game-vignettes", "pointing", POINTING),
        lambda: of_networks("pointing-game-coco", "pointing", POINTING),
        "VOC07 test or COCO val2014; networks finetuned on them",
    ),
    Line(
        "5.1 class discrimination",
        "which of two things does a visualisation show? Right answers %, by simulated raters in place of people",
        "python -m experiments.paper.human_studies",
        "people: guided_gradcam 61.23, guided_backprop 44.44, deconv_gradcam 60.37, deconvnet 53.33",
        ("human-studies",),
        lambda: studied("discrimination"),
        None,
        "people: `mmcam study serve`; VOC07 val, a network finetuned on VOC07",
    ),
    Line(
        "5.2 trust",
        "which of two models seems more reliable, −2 to 2, in a study with simulated raters in place of people",
        "python -m experiments.paper.human_studies",
        "people, AlexNet and VGG-16: guided_gradcam +1.27, guided_backprop +1.00",
        ("human-studies",),
        lambda: "a classifier and a worn copy: " + studied("trust"),
        None,
        "people: `mmcam study serve`; VOC07, AlexNet and VGG-16 finetuned on it",
    ),
    Line(
        "5.2 trust",
        "which of two models seems more reasonable, −2 to 2, by simulated raters in place of people",
        "python -m experiments.paper.model_choice",
        "people, AlexNet and VGG-16: guided_gradcam +1.27, guided_backprop +1.00",
        ("model-choice-vignettes", "model-choice-real"),
        lambda: "as it is and biased: " + rated("model-choice-vignettes"),
        lambda: "EfficientNet-Lite0 and SqueezeNet 1.0: " + rated("model-choice-real"),
        "people",
    ),
    Line(
        "5.3 faithfulness",
        "rank correlation with occlusion maps",
        "python -m experiments.paper.faithfulness --worlds voc --root VOCdevkit/VOC2007 --network vgg16=FILE",
        "guided_gradcam 0.261, gradcam 0.254, c_mwp 0.220, CAM 0.208, guided_backprop 0.168",
        ("faithfulness-vignettes", "faithfulness-photographs"),
        lambda: listed("faithfulness-vignettes", "occlusion", FAITHFUL, scale=1, digits=3),
        lambda: "SqueezeNet 1.0: " + listed("faithfulness-photographs", "occlusion", FAITHFUL, scale=1, digits=3),
        "VOC07 val; a network finetuned on VOC",
    ),
    *DIAGNOSED,
    Line(
        "7 textual explanations",
        "names of units in a text that are in the picture %",
        "python -m experiments.paper.neuron_truth",
        "examples only; units named at IoU > 0.05",
        ("neuron-text", "neuron-detectors", "neuron-removal"),
        lambda: ", ".join(
            f"{model.removeprefix('vignette-')} {named(model)}"
            for model in ("vignette-classifier", "vignette-captioner", "vignette-vqa")
        ),
        None,
        "Places365's VGG-16 and Broden",
    ),
    Line(
        "8.1 dense captions",
        "maps of region captions, inside ÷ outside",
        "python -m experiments.paper.dense_captions --results results.json --photos DIR --captioner module:factory",
        "uniform 1.0, guided_backprop 2.32 ± 0.08, gradcam 3.27 ± 0.18, guided_gradcam 6.38 ± 0.99",
        ("dense-captions",),
        lambda: (
            "vignette-captioner: "
            + listed(
                "dense-captions",
                "mean",
                ("guided_backprop", "gradcam", "guided_gradcam"),
                scale=1,
                model="vignette-captioner",
            )
        ),
        None,
        "DenseCap's results.json and its photographs; a captioner",
    ),
    Line(
        "word by word (Show-and-Tell)",
        "maximum of a word's map on the thing it names %",
        "python -m experiments.paper.photo_words --model FOLDER --captions reference",
        "30.0",
        ("pointing-test-gradcam", "pointing-test-layercam", "photo-words", "photo-words-reference"),
        lambda: "vignette-captioner, objects: gradcam {}, layercam {}".format(
            *(
                cell(f"pointing-test-{method}", "pointing", model="vignette-captioner", category="object", task="word")
                for method in ("gradcam", "layercam")
            )
        ),
        lambda: "; ".join(
            f"{model}, words people wrote: "
            + listed(
                "photo-words-reference",
                "pointing",
                ("gradcam", "layercam, first finer", "guided_gradcam", "(text prior)"),
                words="all",
                model=model,
            )
            for model in dict.fromkeys(row["model"] for row in rows("photo-words-reference"))
        ),
        "COCO val2014; a captioner",
    ),
    Line(
        "8.2 VQA",
        "rank correlation with occlusion maps",
        "python -m experiments.paper.vqa_maps --data vqa --root DIR --model FOLDER",
        "gradcam 0.60 ± 0.038, guided_backprop 0.42 ± 0.038",
        ("vqa-maps-vignettes", "vqa-maps-types-vignettes"),
        lambda: (
            "vignette-vqa: " + listed("vqa-maps-vignettes", "occlusion", VQA, scale=1, digits=3, model="vignette-vqa")
        ),
        None,
        "VQA v1 and COCO; a VQA model",
    ),
    Line(
        "8.2 human attention",
        "rank correlation with where people looked",
        "python -m experiments.paper.vqa_maps --data vqa --root DIR --model FOLDER --hat DIR",
        "gradcam 0.136, random 0; people ~0.623, HieCoAtt's attention ~0.264, SAN's ~0.249",
        ("vqa-maps-vignettes",),
        lambda: (
            "with the masks of the things asked about, vignette-vqa: "
            + listed("vqa-maps-vignettes", "attended", (*VQA, "(text alone)"), scale=1, digits=3, model="vignette-vqa")
        ),
        None,
        "VQA-HAT, VQA v1 and COCO",
    ),
    Line(
        "8.2 co-attention",
        "maps of one answer layer by layer",
        "python -m experiments.paper.layer_by_layer",
        "picture only (ResNet-200 HieCoAtt)",
        ("layers-hiecoatt-parallel",),
        lambda: (
            "pointing % from the first to the last convolution: "
            + ", ".join(f"{100 * row['pointing']['value']:.0f}" for row in rows("layers-hiecoatt-parallel"))
        ),
        None,
        "none",
    ),
    Line(
        "appendix: ablations",
        "localisation error less Grad-CAM's, points",
        "python -m experiments.paper.ablations",
        "no ReLU ~+15.33, absolute gradients ~−1.46, max pooling ~+0.31, deconv ReLUs ~+24.30, guided ReLUs ~−0.51",
        ("ablations-vignettes", "ablations-real"),
        lambda: ablated("ablations-vignettes", "vignette-classifier"),
        lambda: "SqueezeNet 1.0: " + ablated("ablations-real", "SqueezeNet 1.0"),
        "as localisation",
    ),
    Line(
        "Grad-CAM++, table 1",
        "average drop / increase / win %",
        "python -m experiments.paper.faithfulness",
        "gradcam ~46.56 / ~13.42 / ~29.28; gradcam++ ~36.84 / ~17.05 / ~70.72",
        ("faithfulness-vignettes", "faithfulness-photographs"),
        lambda: dropped("faithfulness-vignettes"),
        lambda: "SqueezeNet 1.0: " + dropped("faithfulness-photographs"),
        "VOC07 and ILSVRC; VGG-16",
    ),
    Line(
        "heritage buildings (arXiv 2302.14354)",
        "finetuned on a folder: balanced accuracy on test pictures %, maximum of the map on the damage %",
        "python -m experiments.paper.heritage --network mobilenet_v2=FILE --network resnet50=FILE",
        "MobileNetV2, two classes: precision, recall, F1 94; of its one matrix that can be read, specificity 46",
        ("heritage-houses", "heritage-photographs"),
        lambda: of_backbones("heritage-houses", "balanced_accuracy", "localisation.test.pointing"),
        lambda: of_backbones("heritage-photographs", "balanced_accuracy"),
        "the paper's photographs, which are not public; weights of ResNet-50 and Inception v3",
    ),
)
