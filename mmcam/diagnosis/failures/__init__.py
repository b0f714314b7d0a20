"""Where does a model look when it is wrong? (Grad-CAM, arXiv 1610.02391, section 6.1.)"""
