"""Studies with people: stimuli from models and pictures, a page for raters, a server that keeps answers, the analysis.

```sh
mmcam study build --kind discrimination --model vignette-classifier --images vignettes --items 40 --out STUDY
mmcam study serve STUDY
mmcam study analyse STUDY
```
"""
